// One connection of the trace port. A session loads the guest's BPF programs, makes clock exchanges all
// along, holds events back while the workload runs, and sends them at the end.
//
// Theory of operation.
// - A tick, every clock_interval_us, makes one exchange on the next vCPU in turn and moves events from the
//   BPF ring buffer to the event buffer.
// - Nothing is sent until kTraceStop, so that sending does not disturb the workload. If the buffer is half
//   full it is sent early: a disturbance is better than a loss.
// - The session begins and ends with a burst of exchanges on every vCPU. They are spaced, so that one
//   disturbance does not widen the bound of all of them.
// - Some exchanges are followed by a clock reading, which the collector compares with KVM's own offset.
// - guest_clock events have a sequence of their own for each vCPU, under cpu = kClockCpuBit | vcpu. It is
//   independent of the per-CPU sequences of the BPF programs.
// - If the collector goes away, the session ends and its events are lost.
//
// Thread: its own, one session at a time.
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

// The source of kernel events: BPF programs (guest/trace) in a guest, a list in a test. Thread: the
// session's.
class EventSource {
 public:
  virtual ~EventSource() = default;
  // Loads and attaches the programs. Returns one line for each hook, in the form of kTraceReady.
  [[nodiscard]] virtual Result<std::vector<std::string>> open() = 0;
  // Passes every event that is ready to `take`, in the source's order. Does not block. The reference is valid
  // during the call only.
  virtual void consume(const std::function<void(const gb_event&)>& take) = 0;
  // Detaches the programs. Events that are in the ring buffer can still be consumed.
  virtual void stop() = 0;
  // Losses since open(), cumulative.
  [[nodiscard]] virtual bpf::GuestDrops drops() = 0;
};

struct TraceEnvironment {
  std::function<std::unique_ptr<EventSource>()> make_source;
  std::function<Result<ClockDevice>()> open_clock = [] { return ClockDevice::open(); };
  // Capacity of the event buffer, in events; 0: an eighth of the guest's memory, 2 to 32 MiB.
  std::size_t buffer_events = 0;
};

// Runs one session over a connection to its end; the connection stays the caller's. A failure is reported to
// the collector as kTraceError.
void run_trace_session(int connection, const TraceEnvironment& environment);

// Runs sessions on a thread of their own, one at a time. A second one is refused with kTraceBusy.
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
