// One connection of the trace port: loads the guest's BPF programs, keeps the two clocks' exchanges going,
// holds the events back while the workload runs and sends them at the end.
//
// Theory of operation. A tick every clock_interval_us makes one exchange, on the next vCPU in turn, and
// empties the BPF ring buffer into the event buffer; nothing is sent until kTraceStop, unless the buffer is
// half full. At start and at end comes a burst of exchanges on every vCPU, spaced so that one disturbance
// does not widen them all. Some are followed by a clock reading, for the collector's cross-check with what
// KVM says. guest_clock events number themselves: per vCPU, under cpu = kClockCpuBit | vcpu,
// apart from the per-CPU sequences of the BPF programs.
//
// Thread: its own; one session at a time.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bpf/events.h"
#include "guest/agent/clock_device.h"
#include "guest/guest_drops.h"
#include "guest/protocol.h"
#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::agent {

inline constexpr std::uint16_t kClockCpuBit = 0x8000;

// Where the kernel's events come from: the BPF programs (guest/trace) in a guest, a list in a test.
class EventSource {
 public:
  virtual ~EventSource() = default;
  // Loads and attaches. One line a hook, as kTraceReady wants them.
  [[nodiscard]] virtual Result<std::vector<std::string>> open() = 0;
  virtual void consume(const std::function<void(const gb_event&)>& take) = 0;
  // Detaches; what is in the ring buffer can still be consumed.
  virtual void stop() = 0;
  [[nodiscard]] virtual trace::GuestDrops drops() = 0;
};

struct TraceEnvironment {
  std::function<std::unique_ptr<EventSource>()> make_source;
  std::function<Result<ClockDevice>()> open_clock = [] { return ClockDevice::open(); };
  std::size_t buffer_events = 0;  // 0: by the size of the machine
};

// Runs one session over a connection to its end.
void run_trace_session(int connection, const TraceEnvironment& environment);

// Runs sessions on a thread of their own, one at a time; a second one is told so and refused.
class TraceSessions {
 public:
  explicit TraceSessions(TraceEnvironment environment) : environment_(std::move(environment)) {}
  ~TraceSessions() {
    if (thread_.joinable()) thread_.join();
  }
  void start(UniqueFd connection);

 private:
  TraceEnvironment environment_;
  std::thread thread_;
  std::atomic<bool> busy_{false};
};

}  // namespace glassbox::agent
