// The user-mode NAT: the guest's frames in, host sockets out. See the theory of operation in net/nat.cc.
//
// Guest 10.0.2.15/24, gateway 10.0.2.2, DNS 10.0.2.3; over IPv6 fd00:10:0:2::/64, gateway fd00:10:0:2::2 and
// fe80::2, DNS fd00:10:0:2::3. With host loopback allowed, 10.0.2.2 reaches 127.0.0.1 and fd00:10:0:2::2
// reaches ::1.
//
// Thread: created on any thread while the loop is not running; from then on everything happens on the loop's
// owner thread. Nothing allocates after create().
#pragma once

#include <memory>

#include "net/counters.h"
#include "net/drain.h"
#include "net/guest_port.h"
#include "net/loop/event_loop.h"
#include "net/nat_config.h"
#include "vmm/base/result.h"

namespace glassbox::net {

class Nat : public FrameSink {
 public:
  // Registers its hooks and deadline with the loop, and itself as the port's sink. Both must outlive the NAT.
  // Fails if the MTU is out of range, a published port cannot be bound, or memory cannot be reserved.
  [[nodiscard]] static Result<std::unique_ptr<Nat>> create(const NatConfig& config, EventLoop& loop,
                                                           GuestPort& port);

  // On the owner thread, or while the loop is not running (net/counters.h).
  [[nodiscard]] virtual const NatCounters& counters() const = 0;

  // The guest has ended: delivers what it has sent (net/drain.h), and gives up after linger_ns without
  // progress. Published TCP ports are closed. The listener is called on the owner thread, at the end of a
  // turn, for the last time with kComplete or kGivenUp. On the owner thread.
  virtual void begin_drain(GuestEnd end, std::uint64_t linger_ns, Drain::Listener listener) = 0;
  // Ends a drain at once, with kGivenUp; does nothing if none runs. On the owner thread.
  virtual void abandon_drain() = 0;
};

}  // namespace glassbox::net
