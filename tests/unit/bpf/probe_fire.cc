#include "tests/unit/bpf/probe_fire.h"

#include <type_traits>
#include <utility>

#include "bpf/events.h"
#include "bpf/probes.h"

namespace glassbox::bpf {
namespace {

// Not inlined and not constant: the emitter gets its arguments in registers, as on the real path.
template <typename T>
[[gnu::noinline]] T value(std::uint16_t kind, std::size_t index) {
  const auto tag = static_cast<std::uint64_t>(kind) * 16 + index;
  if constexpr (std::is_signed_v<T>) return static_cast<T>(-static_cast<std::int64_t>(tag) - 1);
  return static_cast<T>(~static_cast<std::uint64_t>(0) - tag);
}

// The emitter's own signature says of which types the values are.
template <typename... Types, std::size_t... Index>
void fire_with(std::uint16_t kind, void (*emit)(Types...), std::index_sequence<Index...> /*places*/) {
  emit(value<Types>(kind, Index)...);
}
template <typename... Types>
void fire(std::uint16_t kind, void (*emit)(Types...)) {
  fire_with(kind, emit, std::index_sequence_for<Types...>{});
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
#define GB_PROBE(name, ...) fire(GB_KIND_##name, probe::name);
#include "bpf/probes.def"
}

}  // namespace glassbox::bpf
