// One epoll loop, one owner thread. The network thread runs one (guest kick, host sockets, timers), the
// device thread another.
//
// Theory of operation: sockets are registered once, edge-triggered (EPOLLET), and a handler drains what it
// can. The clock is read once a turn; everybody on the thread uses now_ns(). Handlers run in the order epoll
// gave. After the handlers of a turn the end-of-turn hooks run (the NAT publishes what it queued to the
// guest), before the loop may sleep the before-wait hooks run: a hook that returns false has found more work
// (virtqueues: arm notifications, barrier, look again) and the loop polls with time-out 0 instead of
// sleeping.
//
// With a PollConfig the loop spins before it sleeps, as net/loop/poll_policy.h says: epoll_wait with time-out
// 0, over and over with sched_yield() between, until there is an event or the time is up. Between two looks
// the hooks look too, without arming: who is looking needs no notification, and a guest's kick is an exit.
//
// Deadlines are time-outs of the wait itself, to the nanosecond (epoll_pwait2): a timer of its own would cost
// a call to set and a wake-up that finds nothing to do.
//
// With ProbeMode::kNetPoll the loop fires net_poll_wait and net_poll_wake around every wait, time-outs and
// empty wakes included. A spin is one wait, with time-out 0, however often it looks: its net_poll_wake says
// how many events ended it, 0 where it was for nothing and the wait that sleeps comes next.
//
// Thread: all calls on the owner thread except stop() and post(), which may come from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "net/loop/poll_policy.h"
#include "vmm/base/result.h"

namespace glassbox::net {

// Gets epoll's event mask (EPOLLIN, ...). May remove itself or others during the call. An object, not a
// std::function, so that registering a socket allocates nothing.
class FdHandler {
 public:
  virtual ~FdHandler() = default;
  virtual void on_fd_ready(std::uint32_t events) = 0;
};

// Of two deadlines, 0 being none.
[[nodiscard]] constexpr std::uint64_t earlier(std::uint64_t a, std::uint64_t b) {
  if (a == 0 || b == 0) return a + b;
  return a < b ? a : b;
}

enum class ProbeMode { kNone, kNetPoll };

// What a before-wait hook is to do: look for work, or ask to be woken for it as well (and look after that).
enum class BeforeWait { kLook, kArm };

class EventLoop {
 public:
  [[nodiscard]] static Result<std::unique_ptr<EventLoop>> create(ProbeMode probes,
                                                                 const PollConfig& poll = {
                                                                     .mode = PollConfig::Mode::kOff});
  virtual ~EventLoop() = default;

  // Registers fd; the handler must outlive the registration. events as for epoll_ctl, EPOLLET added by the
  // caller.
  [[nodiscard]] virtual Status add(int fd, std::uint32_t events, FdHandler* handler) = 0;
  [[nodiscard]] virtual Status modify(int fd, std::uint32_t events, FdHandler* handler) = 0;
  // Safe within a handler for any fd: events of this turn that are still to be delivered to it are dropped.
  virtual void remove(int fd) = 0;
  // As remove(), for an fd that the caller closes at once and of which no duplicate exists: the kernel takes
  // it out of the set itself, which saves a system call.
  virtual void remove_closing(int fd) { remove(fd); }

  // CLOCK_MONOTONIC of this turn, nanoseconds, cached.
  [[nodiscard]] virtual std::uint64_t now_ns() const = 0;

  // Events of this turn that had a handler (argument of drain_to_guest).
  [[nodiscard]] virtual std::uint32_t ready_events() const { return 0; }

  // One deadline for the one timer user of the loop (the NAT's timer structure); 0 disarms. on_deadline runs
  // on the owner thread in the first turn at or after it.
  virtual void set_deadline(std::uint64_t deadline_ns) = 0;
  virtual void on_deadline(std::function<void()> callback) = 0;

  // Hooks, run each turn in the order they were added (see theory of operation).
  virtual void at_turn_end(std::function<void()> hook) = 0;
  virtual void before_wait(std::function<bool(BeforeWait)> may_sleep) = 0;
  // From a before-wait hook that arms: the wait at hand shall end then, if nothing ends it before. The turn
  // that follows is the hook's owner's to use.
  virtual void bound_wait(std::uint64_t deadline_ns) = 0;

  // Marks this turn as one in which the guest kicked (argument of net_poll_wake). Called by the guest port's
  // handler registration: events of fds added with this mark set count as kicks.
  virtual void mark_kick_fd(int fd) = 0;

  // Runs task on the owner thread; post_and_wait() also waits for it to end (used by vCPU threads for control
  // writes: reset, queue enable, MSI-X masking). After the loop ended both run the task at once, on the
  // caller.
  virtual void post(std::function<void()> task) = 0;
  virtual void post_and_wait(std::function<void()> task) = 0;

  // Runs turns until stop(). Blocks. The calling thread is the owner until it returns; may be called again. A
  // stop() that came before makes it return at once.
  virtual void run() = 0;
  virtual void stop() = 0;
};

}  // namespace glassbox::net
