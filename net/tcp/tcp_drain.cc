// What a guest that has ended is still owed by its TCP flows (net/drain.h).
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "net/tcp/tcp.h"

namespace glassbox::net {
namespace {

int queued_bytes(int fd, unsigned long request) {
  int bytes = 0;
  return ::ioctl(fd, request, &bytes) == 0 ? bytes : 0;
}

}  // namespace

void Tcp::guest_has_ended(GuestEnd end) {
  guest_end_ = end;
}

// The bytes of a flow that would be lost if its socket were closed now.
std::uint64_t Tcp::bytes_at_risk(const TcpFlow& flow) const {
  const std::uint64_t waiting = flow.receive.overflow.size();
  const bool ended = flow.receive.fin() && waiting == 0;
  // close() leaves what the peer has not taken to the kernel, but for two cases: bytes that nothing has read
  // make it a reset (RFC 1122, 4.2.2.13), and a stream that did not end has to end with a reset.
  if (ended && queued_bytes(flow.host.fd, SIOCINQ) == 0) return 0;
  return waiting + static_cast<std::uint64_t>(queued_bytes(flow.host.fd, SIOCOUTQ));
}

Undelivered Tcp::undelivered() const {
  Undelivered all;
  for (std::uint32_t i = 0; i < table_->ever_used(); ++i) {
    const TcpFlow& flow = table_->at(i);
    const bool open = flow.state == TcpFlow::State::kOpen || flow.state == TcpFlow::State::kSynReceived;
    if (!open || flow.host.fd < 0) continue;
    all.received += flow.receive.bytes();
    if (flow.host.broken) continue;
    const std::uint64_t bytes = bytes_at_risk(flow);
    const bool more_comes = guest_end_ == GuestEnd::kCommand && !flow.receive.fin();
    if (bytes == 0 && !more_comes) continue;
    ++all.flows;
    all.bytes += bytes;
  }
  return all;
}

}  // namespace glassbox::net
