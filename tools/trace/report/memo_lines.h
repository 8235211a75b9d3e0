// Lines of the table that are not rows: what KVM says of the clocks, and what tracing cost.
#pragma once

#include <string>

#include "tools/trace/clock/clock_check.h"
#include "tools/trace/verdicts/tax.h"

namespace glassbox::trace {

// Two lines; one where the trace has no reading of KVM's clocks.
[[nodiscard]] std::string format_checks(const ClockChecks& checks);

// "probes' tax (inside the rows): 31.0 USDT hits a cycle x 0.81 us = 25.1 us, ..."; then a line that compares
// cycles with and without tracing.
[[nodiscard]] std::string format_tax(const ProbeTax& tax);

}  // namespace glassbox::trace
