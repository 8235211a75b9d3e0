// What a trace is recorded on, for the report's second line.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>

namespace glassbox::trace {

// {"kind","cpu","kernel","virtualization"}. kind: "lab"; "hardware" or "slow" by what KVM's speed measures;
// "none" if the traced process runs no VM (glassbox netns) on a machine that is real.
[[nodiscard]] nlohmann::json machine_info(pid_t traced);

// The info chunk of a trace.
[[nodiscard]] nlohmann::json trace_info(pid_t traced);

}  // namespace glassbox::trace
