// Adapts the guest's BPF programs (guest/trace) to the EventSource that a trace session reads.
#pragma once

#include <memory>

#include "guest/agent/trace_session.h"

namespace glassbox::agent {

[[nodiscard]] std::unique_ptr<EventSource> make_kernel_events();

}  // namespace glassbox::agent
