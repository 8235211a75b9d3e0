// Checks of single event records, and of their sequence.
//
// A guest is hostile, and so is a file: a record that is impossible (wrong version, kind, CPU, time or
// sequence number) is counted and left out before any other code sees it. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bpf/events.h"
#include "tools/trace/file/trace.h"

namespace glassbox::trace {

enum class Origin { kHost, kGuest };

// Set in gb_event::cpu of records that the agent writes: it numbers them per vCPU itself, independently of
// the per-CPU numbers of the BPF programs.
inline constexpr std::uint16_t kAgentCpuBit = 0x8000;
inline constexpr std::uint16_t kMaxCpus = 4096;
inline constexpr std::uint64_t kMaxTimeNs = std::uint64_t{1} << 60;  // 36 years of uptime

// True if version, kind, CPU and time are possible for a record of that side.
[[nodiscard]] bool plausible(const gb_event& event, Origin origin);

// Appends the plausible records of `raw` to side.events and counts the others in side.impossible_records.
void take_records(std::span<const gb_event> raw, Origin origin, Side& side);

// Call once, when all records of a side are in. Sorts side.events by time, counts sequence numbers that are
// missing (per CPU they count from 0 in steps of 1) in side.sequence_gaps, and drops records whose number was
// used before: the first one stays, the others count as impossible.
void check_sequences(Side& side);

}  // namespace glassbox::trace
