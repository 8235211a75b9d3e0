#include "guest/agent/kernel_events.h"

#include "guest/agent/init.h"
#include "guest/trace/guest_tracer.h"

namespace glassbox::agent {
namespace {

// Room for about 30,000 events. The session empties the ring every few milliseconds.
constexpr std::size_t kRingBytes = 4U << 20;

class KernelEvents : public EventSource {
 public:
  Result<std::vector<std::string>> open() override {
    GB_ASSIGN(tracer_, bpf::GuestTracer::open(kRingBytes));
    return tracer_->hooks();
  }
  void consume(const std::function<void(const gb_event&)>& take) override {
    if (const auto count = tracer_->consume(take); !count) say("{}", count.error().message);
  }
  void stop() override { tracer_->stop(); }
  bpf::GuestDrops drops() override { return tracer_->drops(); }

 private:
  std::unique_ptr<bpf::GuestTracer> tracer_;
};

}  // namespace

std::unique_ptr<EventSource> make_kernel_events() {
  return std::make_unique<KernelEvents>();
}

}  // namespace glassbox::agent
