#include "tests/unit/bpf/probe_fire.h"

#include "bpf/events.h"
#include "bpf/probes.h"

namespace glassbox::trace {
namespace {

// Not inlined and not constant: the emitter gets its arguments in registers, as on the real path.
template <typename T>
[[gnu::noinline]] T value(std::uint16_t kind, std::size_t index) {
  const auto tag = static_cast<std::uint64_t>(kind) * 16 + index;
  if constexpr (std::is_signed_v<T>) return static_cast<T>(-static_cast<std::int64_t>(tag) - 1);
  return static_cast<T>(~static_cast<std::uint64_t>(0) - tag);
}

}  // namespace

std::uint64_t fired_value(std::string_view type, std::uint16_t kind, std::size_t index) {
  if (type == "u16") return value<std::uint16_t>(kind, index);
  if (type == "u32") return value<std::uint32_t>(kind, index);
  if (type == "i32")
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(value<std::int32_t>(kind, index)));
  return value<std::uint64_t>(kind, index);
}

void fire_all_probes() {
  using u16 = std::uint16_t;
  using u32 = std::uint32_t;
  using u64 = std::uint64_t;
  using i32 = std::int32_t;
#define V(name, t, index) value<t>(GB_KIND_##name, index)
#define GB_PROBE1(name, doc, t1, ...) probe::name(V(name, t1, 0));
#define GB_PROBE2(name, doc, t1, a1, d1, t2, ...) probe::name(V(name, t1, 0), V(name, t2, 1));
#define GB_PROBE3(name, doc, t1, a1, d1, t2, a2, d2, t3, ...) \
  probe::name(V(name, t1, 0), V(name, t2, 1), V(name, t3, 2));
#define GB_PROBE4(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, ...) \
  probe::name(V(name, t1, 0), V(name, t2, 1), V(name, t3, 2), V(name, t4, 3));
#define GB_PROBE5(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, a4, d4, t5, ...) \
  probe::name(V(name, t1, 0), V(name, t2, 1), V(name, t3, 2), V(name, t4, 3), V(name, t5, 4));
#define GB_PROBE7(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, a4, d4, t5, a5, d5, t6, a6, d6, t7, \
                  ...)                                                                                   \
  probe::name(V(name, t1, 0), V(name, t2, 1), V(name, t3, 2), V(name, t4, 3), V(name, t5, 4),            \
              V(name, t6, 5), V(name, t7, 6));
#define GB_PROBE9(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, a4, d4, t5, a5, d5, t6, a6, d6, t7, a7, \
                  d7, t8, a8, d8, t9, ...)                                                                   \
  probe::name(V(name, t1, 0), V(name, t2, 1), V(name, t3, 2), V(name, t4, 3), V(name, t5, 4),                \
              V(name, t6, 5), V(name, t7, 6), V(name, t8, 7), V(name, t9, 8));
#include "bpf/probes.def"
}

}  // namespace glassbox::trace
