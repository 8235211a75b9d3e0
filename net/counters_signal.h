// Prints the NAT's counters to stderr whenever the process gets SIGUSR1.
//
// Thread: the network thread. create() blocks the signal for the calling thread and for those that it starts.
// Threads that run already must call block_counters_signal() themselves: in a thread that does not block it,
// the signal ends the process.
#pragma once

#include <memory>

#include "net/loop/event_loop.h"
#include "net/nat.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

void block_counters_signal();

class CountersOnSignal final : public FdHandler {
 public:
  [[nodiscard]] static Result<std::unique_ptr<CountersOnSignal>> create(EventLoop& loop, const Nat& nat);
  ~CountersOnSignal() override { loop_.remove(fd_.get()); }
  void on_fd_ready(std::uint32_t events) override;

 private:
  CountersOnSignal(EventLoop& loop, const Nat& nat, UniqueFd fd)
      : loop_(loop), nat_(nat), fd_(std::move(fd)) {}
  EventLoop& loop_;
  const Nat& nat_;
  UniqueFd fd_;
};

}  // namespace glassbox::net
