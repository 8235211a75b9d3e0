// When the network thread spins and when it sleeps: `--poll adaptive|off|US`. A pure state machine; the event
// loop tells it what happened and asks how long the next spin may last.
//
// Theory of operation. Waking a sleeping thread costs its waker some 10 us and takes 26; a spinning one sees
// the event in one. Spinning pays where the next packet of a cycle is due within some tens of microseconds,
// and is a waste elsewhere, so adaptive spins only after a turn that had work, and judges by what came of it:
//   - a spin that met an event paid. The budget follows the waits that paid: twice their moving average,
//     within kMinSpinNs..kMaxSpinNs.
//   - one that met nothing did not. After kMissesBeforeRest in a row, turns go by without a spin: 1, 2, 4 ...
//     kMaxRestTurns, then one is tried again; the first that pays ends the rests.
//   - a spin during which the thread was off its core for longer than kStolenNs was in somebody's way (a
//     cooperating client or server blocks again sooner): no spin for kMinRestNs, doubling to kMaxRestNs while
//     it goes on. The loop offers the core with sched_yield() at each look, so whoever waits for it has it at
//     once.
// A fixed time spins that long after every turn that had work, whatever comes of it.
#pragma once

#include <cstdint>

#include "vmm/base/result.h"

namespace glassbox::net {

struct PollConfig {
  enum class Mode { kOff, kAdaptive, kFixed };
  // Adaptive becomes the default when a quiet machine has shown that it never costs: measured on a loaded
  // one, its CRR p50 was 0.96 x that of off, and its p99 40 ms against 6 ms.
  Mode mode = Mode::kOff;
  std::uint32_t spin_us = 0;  // kFixed
};

// "adaptive", "off" or microseconds, 1 to 1000.
[[nodiscard]] Result<PollConfig> parse_poll(const std::string& text);

class PollPolicy {
 public:
  static constexpr std::uint64_t kMinSpinNs = 20'000;
  static constexpr std::uint64_t kMaxSpinNs = 100'000;
  static constexpr std::uint32_t kMissesBeforeRest = 2;
  static constexpr std::uint32_t kMaxRestTurns = 256;
  static constexpr std::uint64_t kStolenNs = 500'000;
  static constexpr std::uint64_t kMinRestNs = 10'000'000;
  static constexpr std::uint64_t kMaxRestNs = 1'000'000'000;

  explicit PollPolicy(const PollConfig& config) : config_(config) {}

  // After a turn: how long to spin before sleeping; 0: not at all.
  [[nodiscard]] std::uint64_t spin_ns(bool had_work, std::uint64_t now_ns);
  // What came of it. longest_gap_ns: between two looks, the longest.
  void after_spin(bool met_event, std::uint64_t waited_ns, std::uint64_t longest_gap_ns,
                  std::uint64_t now_ns);

 private:
  PollConfig config_;
  std::uint64_t average_wait_ns_ = kMaxSpinNs / 2;
  std::uint32_t misses_ = 0;
  std::uint32_t rest_turns_ = 0;  // length of the rests
  std::uint32_t resting_ = 0;     // turns left of this one
  std::uint64_t rest_ns_ = kMinRestNs;
  std::uint64_t rest_until_ns_ = 0;
};

}  // namespace glassbox::net
