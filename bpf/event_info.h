// probes.def and events.def as data: for `glassbox-trace probes`, for PROBES.md, for printing events, and for
// the tests that check the programs against the contract.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace glassbox::bpf {

struct ArgumentInfo {
  std::string_view name;
  std::string_view type;     // u16, u32, u64, i32; empty for events.def, whose arguments are all 64-bit
  std::string_view meaning;  // with the unit; empty for events.def
};

struct EventInfo {
  std::string_view name;
  std::uint16_t kind = 0;
  std::string_view fires;  // when
  std::span<const ArgumentInfo> arguments;
};

// The USDT probes, in the order of probes.def.
std::span<const EventInfo> probes();

// The events of events.def, in its order. An argument named "-" is unused.
std::span<const EventInfo> kernel_events();

// The entry of either list, or nullptr for a kind that does not exist.
const EventInfo* find_event(std::uint16_t kind);

// The size in bytes of an argument type in a probe note; negative for a signed type, as in the notes.
int note_size(std::string_view type);

}  // namespace glassbox::bpf
