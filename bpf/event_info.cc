#include "bpf/event_info.h"

#include <array>
#include <vector>

#include "bpf/events.h"

namespace glassbox::trace {
namespace {

#define GB_ARGS1(t, a, d) \
  { #a, #t, d }
#define GB_PROBE1(name, doc, t1, a1, d1) constexpr ArgumentInfo k_##name[] = {GB_ARGS1(t1, a1, d1)};
#define GB_PROBE2(name, doc, t1, a1, d1, t2, a2, d2) \
  constexpr ArgumentInfo k_##name[] = {GB_ARGS1(t1, a1, d1), GB_ARGS1(t2, a2, d2)};
#define GB_PROBE3(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3) \
  constexpr ArgumentInfo k_##name[] = {GB_ARGS1(t1, a1, d1), GB_ARGS1(t2, a2, d2), GB_ARGS1(t3, a3, d3)};
#define GB_PROBE4(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, a4, d4)                             \
  constexpr ArgumentInfo k_##name[] = {GB_ARGS1(t1, a1, d1), GB_ARGS1(t2, a2, d2), GB_ARGS1(t3, a3, d3), \
                                       GB_ARGS1(t4, a4, d4)};
#define GB_PROBE5(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, a4, d4, t5, a5, d5)                 \
  constexpr ArgumentInfo k_##name[] = {GB_ARGS1(t1, a1, d1), GB_ARGS1(t2, a2, d2), GB_ARGS1(t3, a3, d3), \
                                       GB_ARGS1(t4, a4, d4), GB_ARGS1(t5, a5, d5)};
#define GB_PROBE7(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, a4, d4, t5, a5, d5, t6, a6, d6, t7, a7, \
                  d7)                                                                                        \
  constexpr ArgumentInfo k_##name[] = {GB_ARGS1(t1, a1, d1), GB_ARGS1(t2, a2, d2), GB_ARGS1(t3, a3, d3),     \
                                       GB_ARGS1(t4, a4, d4), GB_ARGS1(t5, a5, d5), GB_ARGS1(t6, a6, d6),     \
                                       GB_ARGS1(t7, a7, d7)};
#define GB_PROBE9(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, a4, d4, t5, a5, d5, t6, a6, d6, t7, a7, \
                  d7, t8, a8, d8, t9, a9, d9)                                                                \
  constexpr ArgumentInfo k_##name[] = {GB_ARGS1(t1, a1, d1), GB_ARGS1(t2, a2, d2), GB_ARGS1(t3, a3, d3),     \
                                       GB_ARGS1(t4, a4, d4), GB_ARGS1(t5, a5, d5), GB_ARGS1(t6, a6, d6),     \
                                       GB_ARGS1(t7, a7, d7), GB_ARGS1(t8, a8, d8), GB_ARGS1(t9, a9, d9)};
#include "bpf/probes.def"
#undef GB_PROBE1
#undef GB_PROBE2
#undef GB_PROBE3
#undef GB_PROBE4
#undef GB_PROBE5
#undef GB_PROBE7
#undef GB_PROBE9

#define GB_ENTRY(name, doc) {#name, GB_KIND_##name, doc, k_##name},
#define GB_PROBE1(name, doc, ...) GB_ENTRY(name, doc)
#define GB_PROBE2(name, doc, ...) GB_ENTRY(name, doc)
#define GB_PROBE3(name, doc, ...) GB_ENTRY(name, doc)
#define GB_PROBE4(name, doc, ...) GB_ENTRY(name, doc)
#define GB_PROBE5(name, doc, ...) GB_ENTRY(name, doc)
#define GB_PROBE7(name, doc, ...) GB_ENTRY(name, doc)
#define GB_PROBE9(name, doc, ...) GB_ENTRY(name, doc)
constexpr EventInfo kProbes[] = {
#include "bpf/probes.def"
};

struct KernelEvent {
  std::string_view name;
  std::uint16_t kind;
  std::string_view fires;
  std::string_view arguments;
};
#define GB_EVENT(name, kind, doc, args) {#name, kind, doc, args},
constexpr KernelEvent kKernelEvents[] = {
#include "bpf/events.def"
};
#undef GB_EVENT

// events.def lists the names in one string; they are cut apart once.
struct KernelTable {
  std::array<std::vector<ArgumentInfo>, std::size(kKernelEvents)> arguments;
  std::array<EventInfo, std::size(kKernelEvents)> events;

  KernelTable() {
    for (std::size_t i = 0; i < std::size(kKernelEvents); ++i) {
      std::string_view rest = kKernelEvents[i].arguments;
      while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(' '), rest.size());
        arguments[i].push_back({.name = rest.substr(0, end), .type = {}, .meaning = {}});
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
      events[i] = {kKernelEvents[i].name, kKernelEvents[i].kind, kKernelEvents[i].fires, arguments[i]};
    }
  }
};

}  // namespace

std::span<const EventInfo> probes() {
  return kProbes;
}

std::span<const EventInfo> kernel_events() {
  static const KernelTable table;
  return table.events;
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

}  // namespace glassbox::trace
