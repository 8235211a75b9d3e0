// Where the guest may connect to, and what its destinations mean on the host.
//
// 10.0.2.2 is the host's loopback if the user opened it. Closed means: 127/8, 0/8 and the host's own
// addresses are refused as well, since each of them reaches services that listen on the host. The own
// addresses are read at the start and again when the kernel says that they changed.
//
// Thread: the network thread.
#pragma once

#include <memory>
#include <vector>

#include "net/event_loop.h"
#include "net/inet.h"
#include "net/reasons.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

class DestinationPolicy final : public FdHandler {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DestinationPolicy>> create(bool allow_host_loopback,
                                                                         EventLoop& loop);
  ~DestinationPolicy() override;

  struct Verdict {
    RefuseReason refuse = RefuseReason::kNone;
    Ipv4 connect_to = 0;  // host order
    bool local = false;   // on this very host: a connect ends before the system call returns
  };
  [[nodiscard]] Verdict check(Ipv4 destination) const;

  void on_fd_ready(std::uint32_t events) override;

 private:
  DestinationPolicy(bool allow, EventLoop& loop, UniqueFd changes)
      : allow_host_loopback_(allow), loop_(loop), changes_(std::move(changes)) {}
  [[nodiscard]] Status read_own_addresses();

  const bool allow_host_loopback_;
  EventLoop& loop_;
  UniqueFd changes_;       // rtnetlink, told of address changes; may be absent
  std::vector<Ipv4> own_;  // sorted
};

}  // namespace glassbox::net
