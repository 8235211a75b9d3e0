// The guest kernel's events (guest/trace) as the trace session wants them.
#pragma once

#include <memory>

#include "guest/agent/trace_session.h"

namespace glassbox::agent {

[[nodiscard]] std::unique_ptr<EventSource> make_kernel_events();

}  // namespace glassbox::agent
