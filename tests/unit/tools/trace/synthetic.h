// Builds traces of known truth: every event has a true host time, and guest events are stamped by a clock
// with a known offset and drift.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <random>

#include "tools/trace/file/trace.h"

namespace glassbox::trace::testing {

// What the guest's clock shows at true host time t.
struct GuestClock {
  std::int64_t offset_ns = 5'000'000'000;
  double drift_ppm = 0;
  [[nodiscard]] std::int64_t theta(std::int64_t t) const {
    return offset_ns + static_cast<std::int64_t>(static_cast<double>(t) * drift_ppm * 1e-6);
  }
};

struct CycleOptions {
  bool fork = true;          // a process per cycle, as with `printf A | nc`; else one process for all
  bool late_accept = false;  // the server accepts after the request has arrived
  std::int64_t accept_delay_ns = 10'000'000;
  bool late_read = false;        // ... and reads late
  bool late_eof = false;         // the client has the reply before the server closes
  bool suppress_irq = false;     // a polling guest asked for no interrupts
  bool late_irq = false;         // the guest takes the frame before the interrupt is raised
  bool late_send_probe = false;  // host_send fires after the server has read
  // Delays in one place, added to the time of the plain cycle.
  std::int64_t exec_ns = 0;          // fork only: in exec
  std::int64_t start_ns = 0;         // the client, between socket() and connect()
  std::int64_t request_ns = 0;       // the client, between connect() and send()
  std::int64_t close_ns = 0;         // the client, before close()
  std::int64_t host_connect_ns = 0;  // the host's connect(), asynchronously
  std::int64_t read_ns = 0;          // the server, before it enters read(); with late_read
  std::int64_t think_ns = 0;         // the server, between read() and write()
  std::int64_t write_ns = 0;         // between the server's write() and the NAT's receipt of it
  std::int64_t kick_ns = 0;          // between the request's transmit and the network thread
  enum class Wake : std::uint8_t { kKick, kTimeout, kOther } wake = Wake::kKick;  // what ends kick_ns
  bool sleep_on = false;     // the network thread goes to sleep after it sent the request
  bool syn_twice = false;    // the SYN is transmitted twice
  std::int64_t syn_ns = 0;   // connect() to the SYN's transmit
  bool syn_again = false;    // ... again while the host's connect() lasts (1 ms at least), and it arrives
  std::int64_t rest_ns = 0;  // single only: the reply's second part, after its first
  bool ipv6 = false;
  std::uint64_t port = 0;  // of the guest and of the NAT's socket; 0: by the flow's number
  // The server is in another network namespace, behind a wire that takes this long in each direction.
  std::int64_t wire_ns = 0;
  std::int64_t lost_ns =
      0;  // the request's first segment is lost on the wire, and sent again after this time
  std::int64_t second_send_ns =
      0;  // a second send(), whose segment leaves this much later, on an acknowledgement
};

class TraceBuilder {
 public:
  explicit TraceBuilder(GuestClock clock = {}, unsigned seed = 1) : clock_(clock), random_(seed) {}

  // Exchanges around true time t: the host stamps in the middle of a guest window of this width.
  void exchange(std::int64_t t, std::int64_t width_ns = 100'000);
  // A reading of KVM's clocks at true host time t. The guest's counter runs at 2 ticks per ns of its clock
  // and is `lie_ticks` away from KVM's value; kvmclock is `kvm_ns` ahead of the guest's clock.
  void reading(std::int64_t t, std::int64_t lie_ticks = 0, std::int64_t kvm_ns = 1'000'000);
  // One whole cycle from true time t on; returns its end.
  std::int64_t cycle(std::int64_t t, const CycleOptions& options = {});
  // Exchanges every 10 ms over [from, to].
  void idle(std::int64_t from, std::int64_t to);

  void host(std::int64_t t, std::uint16_t kind, std::uint32_t tid, std::initializer_list<std::uint64_t> args);
  // Returns what the guest's clock showed.
  std::uint64_t guest(std::int64_t t, std::uint16_t kind, std::uint32_t tgid,
                      std::initializer_list<std::uint64_t> args);

  [[nodiscard]] Trace build() const;  // checked as a reader does

 private:
  std::int64_t step(std::int64_t typical_ns);
  void reaped(std::int64_t t, std::uint32_t child);

  GuestClock clock_;
  std::mt19937_64 random_;
  Trace trace_;
  std::uint64_t host_seq_ = 0, guest_seq_ = 0, agent_seq_ = 0;
  std::uint32_t exchange_ = 0, reading_ = 0, next_pid_ = 1000;
  std::uint64_t next_flow_ = 1;
};

// `count` cycles with exchanges between them.
[[nodiscard]] Trace make_trace(int count, const CycleOptions& options = {}, GuestClock clock = {},
                               unsigned seed = 1);

// A copy without any event of that kind.
[[nodiscard]] Trace without_kind(const Trace& trace, std::uint16_t kind);

}  // namespace glassbox::trace::testing
