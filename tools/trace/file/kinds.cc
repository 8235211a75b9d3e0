#include "tools/trace/file/kinds.h"

#include <array>

namespace glassbox::trace {
namespace {

std::uint64_t fnv1a(std::uint64_t hash, std::string_view text) {
  for (const char c : text)
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return (hash ^ 0xff) * 1099511628211ULL;  // a separator that no name contains
}

}  // namespace

std::string_view kind_name(std::uint16_t kind) {
  static const auto names = [] {
    std::array<std::string_view, GB_KIND_LIMIT> table;
    table.fill("?");
    for (const auto list : {bpf::probes(), bpf::kernel_events()})
      for (const bpf::EventInfo& info : list)
        table[info.kind] = info.name;
    return table;
  }();
  return kind < names.size() ? names[kind] : "?";
}

std::uint64_t probe_interface_hash() {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const auto list : {bpf::probes(), bpf::kernel_events()}) {
    for (const bpf::EventInfo& info : list) {
      hash = fnv1a(hash, info.name);
      for (const bpf::ArgumentInfo& arg : info.arguments)
        hash = fnv1a(fnv1a(hash, arg.type), arg.name);
    }
  }
  return hash;
}

}  // namespace glassbox::trace
