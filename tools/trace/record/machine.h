// Describes the machine that a trace is recorded on, for the second line of the report.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>

namespace glassbox::trace {

// {"kind","cpu","kernel","virtualization"}. kind: "lab" inside the lab; else "none" if the traced process
// runs no VM (glassbox netns); else "hardware" or "slow", by the measured speed of KVM.
[[nodiscard]] nlohmann::json machine_info(pid_t traced);

// The object for the info chunk of a trace (trace_format.h) of this process.
[[nodiscard]] nlohmann::json trace_info(pid_t traced);

}  // namespace glassbox::trace
