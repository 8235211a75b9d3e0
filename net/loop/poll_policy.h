// Decides when the network thread spins and when it sleeps: `--poll adaptive|off|US`. A pure state machine:
// the event loop reports its turns and asks how long the next spin may last.
//
// Theory of operation. To wake a sleeping thread costs the waker some 10 us, and the thread runs 26 us later;
// a thread that spins sees the event within 1 us. Between two looks it offers its core with sched_yield(), so
// a thread that waits for the core gets it at once. It spins for PollConfig::spin_us at most, and only after
// a turn that had work, since then another packet of the same cycle is due soon. Behind a tap "soon" is some
// tens of microseconds. A guest's next step takes longer, and to see it saves the guest an exit for the kick,
// so there a spin may be ten times as long.
//
// Whether spinning pays depends on where the scheduler puts client, server and this thread, on the machine
// and on its other load, and it changes within seconds. So the adaptive mode does not guess, it compares. It
// counts turns that had work in windows of kWindow. The cost of a window is the time between such turns plus
// a quarter of the CPU time that the thread spent. After some windows in the current mode it tries one window
// in the other mode, and changes to that if it was cheaper by at least kMarginPercent. Spinning does not
// speed up traffic that comes at its own pace, so there it never pays. After a trial that changes nothing,
// the number of windows until the next doubles, up to kMaxPatience, so that useless trials stay below one
// turn in 200. When two windows in a row cost a quarter more or less than those before, the traffic has
// changed and nothing is known about it: the next trial comes soon.
//
// Before the first trial a thread behind a tap sleeps, as its peers do. With a guest it spins, since a kick
// that is not needed saves an exit on any machine.
//
// A fixed time spins that long after every turn that had work, without comparing.
#pragma once

#include <cstdint>

#include "vmm/base/result.h"

namespace glassbox::net {

struct PollConfig {
  enum class Mode { kOff, kAdaptive, kFixed };
  Mode mode = Mode::kAdaptive;
  std::uint32_t spin_us = 50;  // at most
  bool spins_first = false;    // adaptive: spin until the first trial
};
inline constexpr std::uint32_t kGuestSpinUs = 500;  // adaptive, with a guest on the other side

// Reads "adaptive", "off", or microseconds from 1 to 1000.
[[nodiscard]] Result<PollConfig> parse_poll(const std::string& text);

class PollPolicy {
 public:
  static constexpr std::uint32_t kWindow = 96;  // turns with work
  static constexpr std::uint32_t kSettling =
      24;  // the first of them do not count: threads change cores first
  static constexpr std::uint64_t kMarginPercent = 5;
  static constexpr std::uint64_t kLongestGap = 5;  // a longer gap between two turns counts as this many spins
  static constexpr std::uint32_t kMinPatience = 3;  // windows between two trials
  static constexpr std::uint32_t kMaxPatience = 256;
  static constexpr std::uint64_t kOtherPercent = 25;  // a change of cost by this much means other traffic

  // CPU time of the thread in nanoseconds; called twice a window.
  using CpuClock = std::uint64_t (*)();

  PollPolicy(const PollConfig& config, CpuClock cpu_clock)
      : config_(config), cpu_clock_(cpu_clock), spins_(config.spins_first), chosen_(config.spins_first) {}

  // How long to spin before the next sleep, in nanoseconds; 0: not at all. Call it once after each turn.
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
  std::uint64_t chosen_cost_ = 0;  // of the last window in the chosen mode
  std::uint64_t usual_cost_ = 0;   // of a window in the chosen mode, smoothed; 0: not known
  bool was_unusual_ = false;       // the last such window
  std::uint32_t patience_ = kMinPatience;
  std::uint32_t windows_left_ = kMinPatience;  // until the next trial
};

}  // namespace glassbox::net
