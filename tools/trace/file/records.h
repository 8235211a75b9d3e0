// Checks of single event records. Those of the guest are hostile, and so are those of a file: a record that
// cannot be is counted and left out, before anything else looks at it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bpf/events.h"
#include "tools/trace/file/trace.h"

namespace glassbox::trace {

enum class Origin { kHost, kGuest };

// Guest clock exchanges are numbered per vCPU by the agent, beside the per-CPU numbers of the BPF programs.
inline constexpr std::uint16_t kAgentCpuBit = 0x8000;
inline constexpr std::uint16_t kMaxCpus = 4096;
inline constexpr std::uint64_t kMaxTimeNs = std::uint64_t{1} << 60;  // 36 years of uptime

// Version, kind range of its side, CPU and time are possible.
[[nodiscard]] bool plausible(const gb_event& event, Origin origin);

// Appends the plausible ones of `raw` to side.events and counts the others.
void take_records(std::span<const gb_event> raw, Origin origin, Side& side);

// Once all records are there: finds sequence numbers that are missing (per CPU they count from 0 in steps of
// 1) or used twice, and sorts by time. Of records that share a number, the first stays.
void check_sequences(Side& side);

}  // namespace glassbox::trace
