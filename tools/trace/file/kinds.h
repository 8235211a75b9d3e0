// Questions about event kinds that the two lists (bpf/event_info.h) answer.
#pragma once

#include <cstdint>
#include <string_view>

#include "bpf/event_info.h"
#include "bpf/events.h"

namespace glassbox::trace {

[[nodiscard]] std::string_view kind_name(std::uint16_t kind);  // "?" for a kind that does not exist
[[nodiscard]] constexpr bool is_guest_kind(std::uint16_t kind) {
  return kind >= 128 && kind < GB_KIND_LIMIT;
}
[[nodiscard]] constexpr bool is_host_kind(std::uint16_t kind) {
  return kind > 0 && kind < 128;
}
// Made by the guest's agent itself, not by its BPF programs.
[[nodiscard]] constexpr bool is_agent_kind(std::uint16_t kind) {
  return kind == GB_KIND_guest_clock || kind == GB_KIND_guest_clock_reading;
}

// FNV-1a over names, types and arguments in order: two builds with the same hash mean the same by an event.
[[nodiscard]] std::uint64_t probe_interface_hash();

}  // namespace glassbox::trace
