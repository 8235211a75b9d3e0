#include "net/poll_policy.h"

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
    return fail("--poll {}: is adaptive, off, or microseconds from 1 to {}", text, kMost);
  }
  return PollConfig{.mode = PollConfig::Mode::kFixed, .spin_us = us};
}

std::uint64_t PollPolicy::spin_ns(bool had_work, std::uint64_t now_ns) {
  if (config_.mode == PollConfig::Mode::kOff || !had_work) return 0;
  if (config_.mode == PollConfig::Mode::kFixed) return std::uint64_t{config_.spin_us} * 1000;
  if (now_ns < rest_until_ns_) return 0;
  if (resting_ > 0) {
    --resting_;
    return 0;
  }
  return std::clamp(2 * average_wait_ns_, kMinSpinNs, kMaxSpinNs);
}

void PollPolicy::after_spin(bool met_event, std::uint64_t waited_ns, std::uint64_t longest_gap_ns,
                            std::uint64_t now_ns) {
  if (longest_gap_ns > kStolenNs) {
    rest_until_ns_ = now_ns + rest_ns_;
    rest_ns_ = std::min(2 * rest_ns_, kMaxRestNs);
    return;
  }
  if (met_event) {
    average_wait_ns_ += (waited_ns >> 3) - (average_wait_ns_ >> 3);
    misses_ = 0;
    rest_turns_ = 0;
    rest_ns_ = std::max(rest_ns_ - rest_ns_ / 16, kMinRestNs);  // forgotten slowly
    return;
  }
  if (++misses_ < kMissesBeforeRest) return;
  rest_turns_ = rest_turns_ == 0 ? 1 : std::min(2 * rest_turns_, kMaxRestTurns);
  resting_ = rest_turns_;
}

}  // namespace glassbox::net
