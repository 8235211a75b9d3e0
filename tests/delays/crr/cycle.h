// One connect-request-response-close cycle, with a delay in it where one is asked for.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/delays/crr/options.h"

namespace glassbox::delays::crr {

struct Cycle {
  std::uint64_t start_ns = 0, duration_ns = 0;
  // CLOCK_MONOTONIC when each had happened.
  std::uint64_t connected_ns = 0, sent_ns = 0, first_byte_ns = 0, received_ns = 0;
  // The delay that was put in, as measured around it; with lose_syn and fat_mib what the delayed step took,
  // in every cycle.
  std::uint64_t delay_ns = 0;
};

// Where lost segments come from (lose.h); null: nowhere.
class SynLoss;

// The name of the call that failed, with errno set, or nullptr.
[[nodiscard]] const char* run_cycle(const Options& options, bool delayed, std::vector<char>& buffer,
                                    SynLoss* loss, Cycle& cycle);

}  // namespace glassbox::delays::crr
