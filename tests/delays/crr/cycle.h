// One connect-request-response-close cycle, with a delay in it if one is asked for.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/delays/crr/options.h"

namespace glassbox::delays::crr {

struct Cycle {
  std::uint64_t start_ns = 0, duration_ns = 0;
  // CLOCK_MONOTONIC after each step.
  std::uint64_t connected_ns = 0, sent_ns = 0, first_byte_ns = 0, received_ns = 0;
  // The time of the delay, measured around it; 0 in undelayed cycles. With lose_syn and fat_mib: the time of
  // the step that can be delayed, in every cycle.
  std::uint64_t delay_ns = 0;
};

// syn_loss.h
class SynLoss;

// Runs one cycle. Returns nullptr, or the name of the call that failed, with errno set. `loss` may be null.
[[nodiscard]] const char* run_cycle(const Options& options, bool delayed, std::vector<char>& buffer,
                                    SynLoss* loss, Cycle& cycle);

}  // namespace glassbox::delays::crr
