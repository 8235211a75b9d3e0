#include "guest/agent/kernel_events.h"

namespace glassbox::agent {
namespace {

// An agent that was built without the BPF programs still serves the clock's exchanges.
class NoKernelEvents : public EventSource {
 public:
  Result<std::vector<std::string>> open() override {
    return std::vector<std::string>{"kernel_events missing the agent was built without BPF programs"};
  }
  void consume(const std::function<void(const gb_event&)>& /*take*/) override {}
  void stop() override {}
  protocol::TraceDrops drops() override { return {}; }
};

}  // namespace

std::unique_ptr<EventSource> make_kernel_events() {
  return std::make_unique<NoKernelEvents>();
}

}  // namespace glassbox::agent
