#include "net/link/tap_port.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstring>

#include "bpf/probes.h"
#include "vmm/base/io.h"

namespace glassbox::net {
namespace {

constexpr int kFramesPerTurn = 64;

// struct virtio_net_hdr_mrg_rxbuf, little-endian (virtio 1.2, 5.1.6): the header of TUNSETVNETHDRSZ 12.
void store_vnet(std::uint8_t* out, const VnetHeader& vnet) {
  std::memset(out, 0, 12);
  out[0] = vnet.flags;
  out[1] = vnet.gso_type;
  std::memcpy(out + 2, &vnet.hdr_len, 2);
  std::memcpy(out + 4, &vnet.gso_size, 2);
  std::memcpy(out + 6, &vnet.csum_start, 2);
  std::memcpy(out + 8, &vnet.csum_offset, 2);
}

VnetHeader load_vnet(const std::uint8_t* in) {
  VnetHeader vnet;
  vnet.flags = in[0];
  vnet.gso_type = in[1];
  std::memcpy(&vnet.hdr_len, in + 2, 2);
  std::memcpy(&vnet.gso_size, in + 4, 2);
  std::memcpy(&vnet.csum_start, in + 6, 2);
  std::memcpy(&vnet.csum_offset, in + 8, 2);
  return vnet;
}

}  // namespace

Result<UniqueFd> open_tap(const char* name) {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd && errno == ENOENT) {
    return fail("/dev/net/tun is missing: load the kernel module tun (modprobe tun)");
  }
  if (!fd && errno == EACCES) {
    return fail("/dev/net/tun may not be opened: as root, run chmod 0666 /dev/net/tun");
  }
  if (!fd) return fail_errno(errno, "cannot open /dev/net/tun");
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    return fail_errno(errno, "cannot create the tap device {}", name);
  }
  int header = 12;
  if (::ioctl(fd.get(), TUNSETVNETHDRSZ, &header) != 0) {
    return fail_errno(errno, "cannot set the vnet header of the tap device {}", name);
  }
  if (::ioctl(fd.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0) {
    return fail_errno(errno, "cannot set the offloads of the tap device {}", name);
  }
  return fd;
}

TapPort::TapPort(UniqueFd tap, EventLoop& loop)
    : tap_(std::move(tap)),
      loop_(loop),
      slots_(new std::uint8_t[kSlots * kSlotBytes]),
      incoming_(new std::uint8_t[kSlotBytes]) {}

Result<std::unique_ptr<TapPort>> TapPort::create(UniqueFd tap, EventLoop& loop) {
  std::unique_ptr<TapPort> port(new TapPort(std::move(tap), loop));
  // Level-triggered: a turn takes a bounded number of frames, and the rest starts the next turn at once.
  GB_TRY(loop.add(port->tap_.get(), EPOLLIN, port.get()));
  loop.mark_kick_fd(port->tap_.get());
  return port;
}

TapPort::~TapPort() {
  loop_.remove(tap_.get());
}

std::span<const iovec> TapPort::rx_reserve(std::size_t bytes) {
  if (bytes > kSlotBytes - kVnetHeader) return {};
  if (queued_ == kSlots) rx_publish();
  reserved_ = {slot(queued_) + kVnetHeader, bytes};
  return {&reserved_, 1};
}

void TapPort::rx_commit(const RxFrame& frame) {
  store_vnet(slot(queued_), frame.vnet);
  frames_[queued_++] = frame;
}

std::size_t TapPort::rx_publish() {
  for (std::size_t i = 0; i < queued_; ++i) {
    const RxFrame& frame = frames_[i];
    probe::rx_inject(frame.flow, frame.seq, static_cast<std::uint32_t>(frame.bytes), frame.tcp_flags,
                     ++used_idx_);
    // The kernel refuses a frame only when it has no memory. To the guest that is a lost frame.
    write_once(tap_.get(), slot(i), kVnetHeader + frame.bytes);
  }
  const std::size_t published = queued_;
  queued_ = 0;
  return published;
}

void TapPort::on_fd_ready(std::uint32_t events) {
  // An event with nothing to read: the guest has deleted its interface, which does not come back. While it is
  // watched, epoll reports it again and again.
  if (!(events & EPOLLIN)) return loop_.remove(tap_.get());
  if (sink_ == nullptr) return;
  probe::tx_kick(0);
  for (int i = 0; i < kFramesPerTurn; ++i) {
    const ssize_t n = ::read(tap_.get(), incoming_.get(), kSlotBytes);
    if (n < 0) break;
    if (static_cast<std::size_t>(n) < kVnetHeader) continue;
    const iovec frame{incoming_.get() + kVnetHeader, static_cast<std::size_t>(n) - kVnetHeader};
    sink_->on_guest_frame({&frame, 1}, load_vnet(incoming_.get()), 0);
  }
  sink_->on_guest_burst_end();
}

}  // namespace glassbox::net
