// Event kinds: their names, the side that records them, and the hash of the whole interface. All of it comes
// from the two lists of bpf/event_info.h. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "bpf/event_info.h"
#include "bpf/events.h"

namespace glassbox::trace {

[[nodiscard]] std::string_view kind_name(std::uint16_t kind);  // "?" for an unknown kind
// Kinds below 128 are recorded on the host, the others in the guest (bpf/events.h). 0 is no kind.
[[nodiscard]] constexpr bool is_guest_kind(std::uint16_t kind) {
  return kind >= 128 && kind < GB_KIND_LIMIT;
}
[[nodiscard]] constexpr bool is_host_kind(std::uint16_t kind) {
  return kind > 0 && kind < 128;
}
// Written by the guest's agent itself, not by its BPF programs.
[[nodiscard]] constexpr bool is_agent_kind(std::uint16_t kind) {
  return kind == GB_KIND_guest_clock || kind == GB_KIND_guest_clock_reading;
}

// FNV-1a over the names, types and arguments of all events, in order. Two builds with the same hash read
// every event alike.
[[nodiscard]] std::uint64_t probe_interface_hash();

}  // namespace glassbox::trace
