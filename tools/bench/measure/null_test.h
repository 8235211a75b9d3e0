// Whether the harness adds something to what it measures: CRR on loopback through the whole harness, compared
// with a plain loop in the launcher that shares only the server with it. Both run in every round, with one
// byte and a closed loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/bench/measure/verdict.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

struct NullTest {
  Rounds harness, plain;
  std::string failed = {};  // why it ended before the rounds did
};

// The plain loop: `count` CRR to a port of 127.0.0.1; nanoseconds of each.
[[nodiscard]] Result<std::vector<std::uint64_t>> run_plain_loop(std::uint16_t port, std::uint32_t count);

// Whether the harness shows what the plain loop shows; empty if there were no rounds, or too few for a
// verdict and the intervals of the medians do not overlap. Pure.
[[nodiscard]] std::optional<bool> null_test_agrees(const NullTest& test);
// Whether the null test proves the harness wrong. Pure.
[[nodiscard]] bool null_test_failed(const NullTest& test);

}  // namespace glassbox::bench
