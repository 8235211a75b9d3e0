#include "net/loop/poll_policy.h"

#include <algorithm>
#include <charconv>

namespace glassbox::net {

Result<PollConfig> parse_poll(const std::string& text) {
  if (text == "adaptive") return PollConfig{.mode = PollConfig::Mode::kAdaptive};
  if (text == "off") return PollConfig{.mode = PollConfig::Mode::kOff};
  constexpr std::uint32_t kMost = 1000;
  std::uint32_t us = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), us);
  if (error != std::errc() || end != text.data() + text.size() || us < 1 || us > kMost) {
    return fail("--poll must be adaptive, off, or microseconds from 1 to {}, not {}", kMost, text);
  }
  return PollConfig{.mode = PollConfig::Mode::kFixed, .spin_us = us};
}

std::uint64_t PollPolicy::spin_ns(bool had_work, std::uint64_t now_ns) {
  if (config_.mode == PollConfig::Mode::kOff || !had_work) return 0;
  const std::uint64_t longest_ns = std::uint64_t{config_.spin_us} * 1000;
  if (config_.mode == PollConfig::Mode::kFixed) return longest_ns;
  count_turn(now_ns);
  return spins_ ? longest_ns : 0;
}

void PollPolicy::count_turn(std::uint64_t now_ns) {
  const std::uint64_t gap_ns = std::min(now_ns - last_turn_ns_, kLongestGap * config_.spin_us * 1000);
  last_turn_ns_ = now_ns;
  if (turns_ == kSettling) {
    cpu_start_ns_ = cpu_clock_();
  } else if (turns_ > kSettling) {
    gaps_ns_ += gap_ns;
  }
  if (++turns_ == kWindow) end_window();
}

void PollPolicy::end_window() {
  const std::uint64_t cost_ns = gaps_ns_ + (cpu_clock_() - cpu_start_ns_) / 4;
  if (spins_ == chosen_) {
    watch_for_other_traffic(cost_ns);
    chosen_cost_ = cost_ns;
    return begin_window(--windows_left_ == 0 ? !chosen_ : chosen_);
  }
  // The end of a trial.
  const bool better = 100 * cost_ns < (100 - kMarginPercent) * chosen_cost_;
  patience_ = better ? kMinPatience : std::min(2 * patience_, kMaxPatience);
  windows_left_ = patience_;
  if (better) {
    chosen_ = spins_;
    usual_cost_ = 0;
  }
  begin_window(chosen_);
}

void PollPolicy::watch_for_other_traffic(std::uint64_t cost_ns) {
  const std::uint64_t distance = std::max(cost_ns, usual_cost_) - std::min(cost_ns, usual_cost_);
  const bool unusual = usual_cost_ != 0 && 100 * distance > kOtherPercent * usual_cost_;
  if (unusual && was_unusual_) {
    usual_cost_ = 0;
    patience_ = kMinPatience;
    windows_left_ = 1;
  }
  if (usual_cost_ == 0) usual_cost_ = cost_ns;
  was_unusual_ = unusual;
  if (!unusual) usual_cost_ = usual_cost_ - usual_cost_ / 8 + cost_ns / 8;
}

void PollPolicy::begin_window(bool spins) {
  spins_ = spins;
  turns_ = 0;
  gaps_ns_ = 0;
}

}  // namespace glassbox::net
