// An epoll loop with one owner thread. The network thread runs one (guest kick, host sockets, timers), the
// device thread another.
//
// Theory of operation. File descriptors are registered once, edge-triggered (EPOLLET), and a handler drains
// what it can. The clock is read once a turn, and everything on the thread uses now_ns(). A turn:
//
//   wait          before-wait hooks run first; one that returns false has found more work (virtqueues: arm
//                 notifications, barrier, look again), and the loop polls with time-out 0 instead of sleeping
//   handlers      in the order in which epoll returned the events
//   posted tasks  of other threads
//   deadline      if it is due
//   end of turn   hooks; the NAT publishes to the guest what it has queued
//
// With a PollConfig the loop spins before it sleeps (net/loop/poll_policy.h): epoll_wait with time-out 0,
// over and over with sched_yield() between, until there is an event or the time is up. Between two looks the
// hooks look too, without arming: a thread that looks needs no notification, and a guest's kick costs it an
// exit.
//
// Deadlines are time-outs of the wait itself, to the nanosecond where epoll_pwait2 is allowed
// (net/loop/epoll_waiter.h). A timer descriptor would cost
// a call to set it and a wake-up without work.
//
// With ProbeMode::kNetPoll the loop fires net_poll_wait and net_poll_wake around every wait, including waits
// that time out. A spin is one wait with time-out 0, however often it looks. Its net_poll_wake reports how
// many events ended it: 0 if the spin found nothing and a wait that sleeps follows.
//
// Thread: all calls on the owner thread, except stop(), post() and post_and_wait(), which any thread may
// make.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "net/loop/poll_policy.h"
#include "vmm/base/owner_thread.h"
#include "vmm/base/result.h"

namespace glassbox::net {

// Receives epoll's event mask (EPOLLIN, ...). It may remove itself or others from the loop during the call.
// An object, not a std::function, so that registering a socket allocates nothing.
class FdHandler {
 public:
  virtual ~FdHandler() = default;
  virtual void on_fd_ready(std::uint32_t events) = 0;
};

// The earlier of two deadlines, where 0 means none.
[[nodiscard]] constexpr std::uint64_t earlier(std::uint64_t a, std::uint64_t b) {
  if (a == 0 || b == 0) return a + b;
  return a < b ? a : b;
}

enum class ProbeMode { kNone, kNetPoll };

// What a before-wait hook must do: look for work (kLook), or arm its notifications and then look (kArm).
enum class BeforeWait { kLook, kArm };

class EventLoop : public OwnerThread {
 public:
  [[nodiscard]] static Result<std::unique_ptr<EventLoop>> create(ProbeMode probes,
                                                                 const PollConfig& poll = {
                                                                     .mode = PollConfig::Mode::kOff});
  // Registers fd. The loop owns neither: remove fd before it is closed and before the handler is destroyed.
  // events as for epoll_ctl(2); the caller adds EPOLLET. Fails if the kernel refuses.
  [[nodiscard]] virtual Status add(int fd, std::uint32_t events, FdHandler* handler) = 0;
  [[nodiscard]] virtual Status modify(int fd, std::uint32_t events, FdHandler* handler) = 0;
  // Reports a registered edge-triggered fd again in the next turn if it is still ready: for a handler that
  // leaves work behind so that its turn stays short. False if the kernel has no memory; then only a new edge
  // brings an event.
  bool rearm(int fd, std::uint32_t events, FdHandler* handler) {
    return modify(fd, events, handler).has_value();
  }
  // Safe within a handler, for any fd: events of this turn that were not delivered yet are dropped.
  virtual void remove(int fd) = 0;
  // As remove(), for an fd that the caller closes at once and that has no duplicate: the kernel takes it out
  // of the set itself, which saves a system call.
  virtual void remove_closing(int fd) { remove(fd); }

  // CLOCK_MONOTONIC at the beginning of this turn, nanoseconds.
  [[nodiscard]] virtual std::uint64_t now_ns() const = 0;

  // Events of this turn that had a handler (argument of drain_to_guest).
  [[nodiscard]] virtual std::uint32_t ready_events() const { return 0; }

  // The loop has one deadline, for one user, the NAT; 0 disarms it. The
  // callback of on_deadline() runs in the first turn at or after the deadline, which is disarmed before.
  virtual void set_deadline(std::uint64_t deadline_ns) = 0;
  virtual void on_deadline(std::function<void()> callback) = 0;

  // Add hooks that run in every turn, in the order in which they were added (see theory of operation). A hook
  // cannot be removed.
  virtual void at_turn_end(std::function<void()> hook) = 0;
  virtual void before_wait(std::function<bool(BeforeWait)> may_sleep) = 0;
  // For a before-wait hook that arms: ends the coming wait at deadline_ns, if nothing ends it earlier. No
  // callback runs for it; the hook's owner acts in the turn that follows.
  virtual void bound_wait(std::uint64_t deadline_ns) = 0;

  // Marks a registered fd whose events are kicks of the guest (argument of net_poll_wake).
  virtual void mark_kick_fd(int fd) = 0;

  // Runs turns until stop(). The calling thread is the owner until this returns; it may be called again. A
  // stop() that came before makes it return at once.
  virtual void run() = 0;
  virtual void stop() = 0;
  // An errno if run() returned by itself because no wait for events works (it said so on stderr), else 0. Any
  // thread.
  [[nodiscard]] virtual int error() const { return 0; }
};

}  // namespace glassbox::net
