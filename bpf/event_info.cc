#include "bpf/event_info.h"

#include <array>
#include <initializer_list>

#include "bpf/events.h"

namespace glassbox::bpf {
namespace {

#define GB_INFO(arg) GB_INFO_ arg
#define GB_INFO_(type, name, meaning) \
  { #name, #type, meaning }
#define GB_PROBE(name, fires, ...) constexpr ArgumentInfo k_##name[] = {GB_LIST(GB_INFO, __VA_ARGS__)};
#include "bpf/probes.def"

constexpr EventInfo kProbes[] = {
#define GB_PROBE(name, fires, ...) {#name, GB_KIND_##name, fires, k_##name},
#include "bpf/probes.def"
};

constexpr std::string_view kUnused = "-";

constexpr ArgumentInfo kernel_argument(std::string_view name) {
  return {.name = name == "unused" ? kUnused : name, .type = {}, .meaning = {}};
}

constexpr std::array<ArgumentInfo, GB_EVENT_ARGS> process_arguments(
    std::initializer_list<std::string_view> names) {
  std::array<ArgumentInfo, GB_EVENT_ARGS> all{};
  std::size_t at = 0;
  for (const std::string_view name : names)
    all.at(at++) = kernel_argument(name);
  for (; at < GB_COMM_AT; ++at)
    all.at(at) = kernel_argument(kUnused);
  for (; at < all.size(); ++at)
    all.at(at) = kernel_argument("comm");
  return all;
}

#define GB_NAME(name) #name
#define GB_KERNEL_ARGUMENT(name) kernel_argument(#name)
#define GB_EVENT(name, kind, fires, ...) \
  constexpr ArgumentInfo k_##name[] = {GB_LIST(GB_KERNEL_ARGUMENT, __VA_ARGS__)};
#define GB_PROCESS_EVENT(name, kind, fires, ...) \
  constexpr auto k_##name = process_arguments({GB_LIST(GB_NAME, __VA_ARGS__)});
#include "bpf/events.def"

constexpr EventInfo kKernelEvents[] = {
#define GB_EVENT(name, kind, fires, ...) {#name, kind, fires, k_##name},
#include "bpf/events.def"
};

}  // namespace

std::span<const EventInfo> probes() {
  return kProbes;
}

std::span<const EventInfo> kernel_events() {
  return kKernelEvents;
}

const EventInfo* find_event(std::uint16_t kind) {
  for (const auto list : {probes(), kernel_events()}) {
    for (const EventInfo& info : list) {
      if (info.kind == kind) return &info;
    }
  }
  return nullptr;
}

int note_size(std::string_view type) {
  if (type == "u16") return 2;
  if (type == "u32") return 4;
  if (type == "u64") return 8;
  return type == "i32" ? -4 : 0;
}

}  // namespace glassbox::bpf
