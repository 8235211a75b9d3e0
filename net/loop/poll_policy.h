// When the network thread spins and when it sleeps: `--poll adaptive|off|US`. A pure state machine; the event
// loop tells it what happened and asks how long the next spin may last.
//
// Theory of operation. Waking a sleeping thread costs its waker some 10 us and takes 26; a thread that looks
// again and again sees the event in one. It offers its core with sched_yield() between two looks, so whoever
// waits for that core has it at once; and it looks for PollConfig::spin_us at the most, and only after a turn
// that had work, since that is where another packet of the same cycle is due. Behind a tap that is some tens
// of microseconds; a guest's next step is further away, and to see it saves the guest an exit for the kick,
// so there a spin may be ten times as long.
//
// Whether that pays depends on where the scheduler puts client, server and this thread, on the machine and on
// what else wants the cores, and it changes within seconds. So adaptive does not guess, it compares. Turns
// that had work are counted in windows of kWindow; what a window costs is the time from one such turn to the
// next plus a quarter of the CPU time that the thread spent, both summed up. After some windows of the mode
// in force one window of the other is tried, and becomes the mode in force if it was cheaper by
// kMarginPercent at the least. Traffic that comes at its own pace is not made faster by spinning, so there it
// never pays. A trial that changes nothing doubles the windows until the next, up to kMaxPatience: trials are
// rare where they are useless, fewer than one turn in 200. When two windows in a row cost a quarter more or
// less than those before them, this is other traffic, of which nothing is known: the next trial comes soon.
//
// Before the first trial a thread behind a tap sleeps, as its peers do. With a guest it spins: there a kick
// that need not be made saves an exit on any machine.
//
// A fixed time spins that long after every turn that had work, whatever comes of it.
#pragma once

#include <cstdint>

#include "vmm/base/result.h"

namespace glassbox::net {

struct PollConfig {
  enum class Mode { kOff, kAdaptive, kFixed };
  Mode mode = Mode::kAdaptive;
  std::uint32_t spin_us = 50;  // at most
  bool spins_first = false;    // adaptive: until the first trial
};
inline constexpr std::uint32_t kGuestSpinUs = 500;  // adaptive, with a guest at the other end

// "adaptive", "off" or microseconds, 1 to 1000.
[[nodiscard]] Result<PollConfig> parse_poll(const std::string& text);

class PollPolicy {
 public:
  static constexpr std::uint32_t kWindow = 96;    // turns with work
  static constexpr std::uint32_t kSettling = 24;  // of them, not judged: threads move to other cores first
  static constexpr std::uint64_t kMarginPercent = 5;
  static constexpr std::uint64_t kLongestGap = 5;   // spins between two such turns; a pause counts as this
  static constexpr std::uint32_t kMinPatience = 3;  // windows between two trials
  static constexpr std::uint32_t kMaxPatience = 256;
  static constexpr std::uint64_t kOtherPercent = 25;  // of the cost: other traffic

  using CpuClock = std::uint64_t (*)();  // nanoseconds that the thread was on a CPU; asked twice a window

  PollPolicy(const PollConfig& config, CpuClock cpu_clock)
      : config_(config), cpu_clock_(cpu_clock), spins_(config.spins_first), chosen_(config.spins_first) {}

  // After a turn: how long to spin before sleeping; 0: not at all. Call once a turn.
  [[nodiscard]] std::uint64_t spin_ns(bool had_work, std::uint64_t now_ns);

 private:
  void count_turn(std::uint64_t now_ns);
  void end_window();
  void begin_window(bool spins);
  void watch_for_other_traffic(std::uint64_t cost_ns);

  PollConfig config_;
  CpuClock cpu_clock_;

  bool spins_;   // in this window
  bool chosen_;  // outside trials
  std::uint32_t turns_ = 0;
  std::uint64_t last_turn_ns_ = 0;
  std::uint64_t gaps_ns_ = 0;
  std::uint64_t cpu_start_ns_ = 0;
  std::uint64_t in_force_cost_ = 0;  // of the last window of that mode
  std::uint64_t usual_cost_ = 0;     // of a window of the mode in force, smoothed; 0: not known
  bool was_unusual_ = false;         // the last of them
  std::uint32_t patience_ = kMinPatience;
  std::uint32_t windows_left_ = kMinPatience;  // until the next trial
};

}  // namespace glassbox::net
