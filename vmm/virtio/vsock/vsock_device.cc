#include "vmm/virtio/vsock/vsock_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/virtio_ids.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "vmm/base/iovec.h"
#include "vmm/virtio/vsock/unix_socket.h"
#include "vmm/virtio/vsock/vsock_handshake.h"

namespace glassbox::virtio {
namespace {

using vsock::Connection;
using vsock::Header;
using vsock::Op;
using vsock::Ports;

constexpr std::uint32_t kOtherDevice = 0x00'FF'00;

UniqueFd spare_descriptor() {
  return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

}  // namespace

Result<std::unique_ptr<VsockDevice>> VsockDevice::create(net::EventLoop& loop, std::string path,
                                                         std::uint64_t guest_cid) {
  GB_ASSIGN(UniqueFd socket, listen_unix(path));
  std::unique_ptr<VsockDevice> device(new VsockDevice(loop, std::move(path), guest_cid));
  device->listener_.device = device.get();
  device->listener_.socket = std::move(socket);
  Status added;
  loop.post_and_wait([&] {
    added = loop.add(device->listener_.socket.get(), EPOLLIN | EPOLLET, &device->listener_);
    loop.at_turn_end([raw = device.get()] { raw->turn_end(); });
    loop.before_wait([raw = device.get()](net::BeforeWait) { return raw->may_sleep(); });
  });
  GB_TRY(added);
  return device;
}

VsockDevice::VsockDevice(net::EventLoop& loop, std::string path, std::uint64_t guest_cid)
    : loop_(loop), path_(std::move(path)), guest_cid_(guest_cid), spare_(spare_descriptor()) {}

VsockDevice::~VsockDevice() {
  if (listener_.socket) {
    loop_.remove(listener_.socket.get());
    ::unlink(path_.c_str());
  }
}

DeviceInfo VsockDevice::info() const {
  return {.type = VIRTIO_ID_VSOCK, .class_code = kOtherDevice, .queues = kQueues};
}

void VsockDevice::read_config(std::uint64_t offset, std::span<std::uint8_t> data) const {
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = offset + i < 8 ? static_cast<std::uint8_t>(guest_cid_ >> (8 * (offset + i))) : 0;
}

void VsockDevice::activate(Transport& transport, std::uint64_t) {
  transport_ = &transport;
  tx_pending_ = true;  // packets queued before DRIVER_OK bring no kick
}

// The guest's driver has forgotten every connection: end them all.
void VsockDevice::reset() {
  transport_ = nullptr;
  tx_pending_ = rx_pending_ = false;
  waiting_.clear();
  resets_.clear();
  // Their sockets leave the loop now, not when they are destroyed: an event that is still to come in this
  // turn must not reach them.
  for (auto& [key, connection] : connections_) {
    connection->abandon();
    graveyard_.push_back(std::move(connection));
  }
  connections_.clear();
  for (auto& handshake : handshakes_) {
    (void)handshake->take_socket();
    old_handshakes_.push_back(std::move(handshake));
  }
  handshakes_.clear();
}

void VsockDevice::accept_all() {
  for (;;) {
    UniqueFd socket(::accept4(listener_.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE) {
        if (refuse_waiting()) continue;
      }
      return;
    }
    if (transport_ == nullptr || handshakes_.size() >= kMaxHandshakes) continue;  // closed: try again later
    handshakes_.push_back(std::make_unique<Handshake>(*this, std::move(socket)));
    if (!handshakes_.back()->start()) handshakes_.pop_back();
  }
}

// Out of descriptors: the listener is edge-triggered, so that a process whose connection stays in the queue
// would wait until another one comes. The descriptor that is kept for this moment takes it and closes it.
bool VsockDevice::refuse_waiting() {
  if (!spare_) return false;
  spare_.reset();
  const bool refused =
      UniqueFd(::accept4(listener_.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)).valid();
  spare_ = spare_descriptor();
  return refused;
}

void VsockDevice::handshake_done(Handshake& handshake, std::optional<std::uint32_t> guest_port) {
  UniqueFd socket = handshake.take_socket();
  const auto it =
      std::find_if(handshakes_.begin(), handshakes_.end(), [&](auto& h) { return h.get() == &handshake; });
  if (it != handshakes_.end()) {
    old_handshakes_.push_back(std::move(*it));
    handshakes_.erase(it);
  }
  if (!guest_port || transport_ == nullptr || !make_room()) return;
  Ports ports{.guest = *guest_port};
  do {
    ports.host = next_host_port_;
    next_host_port_ = next_host_port_ == 0xFFFF'FFFE ? 1U << 30 : next_host_port_ + 1;
  } while (connections_.contains(ports.key()));
  auto connection = Connection::from_host(loop_, *this, ports, std::move(socket));
  Connection& added = *connections_.emplace(ports.key(), std::move(connection)).first->second;
  connection_changed(added);
}

// Makes room for one more connection: those that only wait for the guest's confirmation are ended.
bool VsockDevice::make_room() {
  if (connections_.size() < kMaxConnections) return true;
  for (auto& [key, connection] : connections_) {
    if (connection->state() != Connection::State::kClosing) continue;
    bury(*connection);
    return true;
  }
  return false;
}

// Takes it out of the tables. It is destroyed at the end of the turn, since its handler may be the caller.
void VsockDevice::bury(Connection& connection) {
  if (connection.listed) std::erase(waiting_, &connection);
  const auto it = connections_.find(connection.ports().key());
  if (it == connections_.end() || it->second.get() != &connection) return;
  connection.abandon();
  graveyard_.push_back(std::move(it->second));
  connections_.erase(it);
}

void VsockDevice::connection_changed(Connection& connection) {
  if (connection.state() == Connection::State::kGone) return bury(connection);
  if (connection.listed || !connection.has_packet()) return;
  connection.listed = true;
  waiting_.push_back(&connection);
}

void VsockDevice::on_kick(unsigned queue) {
  if (queue == kTransmitQueue) tx_pending_ = true;
  // A receive kick only wakes the loop; turn_end() does the work.
}

void VsockDevice::turn_end() {
  if (transport_ != nullptr) {
    if (tx_pending_) take_from_guest();
    if (has_packet()) give_to_guest();
  }
  graveyard_.clear();
  old_handshakes_.clear();
}

bool VsockDevice::may_sleep() {
  if (transport_ == nullptr) return true;
  if (!tx_pending_ && resets_.size() < kMaxResets) tx_pending_ = !transport_->queue(kTransmitQueue).arm();
  if (has_packet() && !rx_pending_) rx_pending_ = !transport_->queue(kReceiveQueue).arm();
  // With a full list of resets only receive buffers help, and new ones bring a kick.
  return !(tx_pending_ && resets_.size() < kMaxResets) && !rx_pending_;
}

void VsockDevice::malformed() {
  transport_->needs_reset();
}

void VsockDevice::take_from_guest() {
  Queue& queue = transport_->queue(kTransmitQueue);
  tx_pending_ = false;
  for (unsigned taken = 0;; ++taken) {
    if (taken == kBurst || resets_.size() >= kMaxResets) {
      tx_pending_ = true;
      break;
    }
    auto chain = queue.pop(iovecs_);
    if (!chain) break;
    take_packet(*chain);
    queue.push(std::move(*chain), 0);
  }
  if (queue.fault() != QueueFault::kNone) malformed();
  if (queue.publish()) transport_->interrupt(kTransmitQueue);
}

void VsockDevice::take_packet(DescriptorChain& chain) {
  Header header;
  std::span<iovec> payload = chain.readable();
  if (iov_gather(payload, std::as_writable_bytes(std::span(&header, 1))) != sizeof(header)) return;
  payload = iov_drop_front(payload, sizeof(header));
  if (header.src_cid != guest_cid_ || header.dst_cid != vsock::kHostCid)
    return;  // addressed to someone else: dropped
  if (header.type != vsock::kTypeStream) return refuse(header);
  const bool data = header.op == static_cast<std::uint16_t>(Op::kData);
  if (data && header.len > chain.readable_bytes() - sizeof(header)) return refuse(header);

  const Ports ports{.host = header.dst_port, .guest = header.src_port};
  const auto it = connections_.find(ports.key());
  if (it == connections_.end()) {
    if (header.op == static_cast<std::uint16_t>(Op::kRequest)) return on_request(header);
    return refuse(header);
  }
  Connection& connection = *it->second;
  if (connection.reset_by_guest()) return refuse(header);
  connection.on_packet(header, data ? iov_keep_front(payload, header.len) : std::span<iovec>());
  connection_changed(connection);
}

void VsockDevice::on_request(const Header& header) {
  const Ports ports{.host = header.dst_port, .guest = header.src_port};
  if (!make_room()) return refuse(header);
  auto socket = connect_unix(fmt::format("{}_{}", path_, ports.host));
  if (!socket) return refuse(header);
  auto connection = Connection::from_guest(loop_, *this, ports, std::move(*socket), header);
  Connection& added = *connections_.emplace(ports.key(), std::move(connection)).first->second;
  connection_changed(added);
}

// Answers a packet that belongs to no connection, unless it is itself a reset (5.10.6.4.1).
void VsockDevice::refuse(const Header& header) {
  if (header.op == static_cast<std::uint16_t>(Op::kReset)) return;
  resets_.push_back({.host = header.dst_port, .guest = header.src_port});
}

void VsockDevice::give_to_guest() {
  Queue& queue = transport_->queue(kReceiveQueue);
  rx_pending_ = false;
  for (unsigned given = 0; has_packet(); ++given) {
    if (given == kBurst) {
      rx_pending_ = true;
      break;
    }
    auto chain = queue.pop(iovecs_);
    if (!chain || !give_packet(std::move(*chain))) break;
  }
  if (queue.fault() != QueueFault::kNone) malformed();
  if (queue.publish()) transport_->interrupt(kReceiveQueue);
}

bool VsockDevice::give_packet(DescriptorChain chain) {
  Queue& queue = transport_->queue(kReceiveQueue);
  if (chain.writable_bytes() <= sizeof(Header)) {  // no driver offers such a buffer
    malformed();
    return false;
  }
  std::array<iovec, sizeof(Header)> header_room;
  std::span<iovec> room = chain.writable();
  std::size_t parts = 0;
  for (std::size_t left = sizeof(Header); left != 0; ++parts) {
    header_room[parts] = {room[parts].iov_base, std::min(left, room[parts].iov_len)};
    left -= header_room[parts].iov_len;
  }
  auto header = next_packet(iov_drop_front(room, sizeof(Header)));
  if (!header) {
    queue.unpop(std::move(chain));
    return true;  // has_packet() says whether there is another
  }
  header->src_cid = vsock::kHostCid;
  header->dst_cid = guest_cid_;
  iov_scatter(std::span(header_room).first(parts), std::as_bytes(std::span(&*header, 1)));
  queue.push(std::move(chain), static_cast<std::uint32_t>(sizeof(Header) + header->len));
  return true;
}

// A reset first, then the connection that has waited longest.
std::optional<Header> VsockDevice::next_packet(std::span<iovec> room) {
  if (!resets_.empty()) {
    const Ports ports = resets_.front();
    resets_.pop_front();
    return Header{
        .src_port = ports.host, .dst_port = ports.guest, .op = static_cast<std::uint16_t>(Op::kReset)};
  }
  Connection& connection = *waiting_.front();
  waiting_.pop_front();
  connection.listed = false;
  auto header = connection.next_packet(room);
  connection_changed(connection);  // back to the end of the list if it has more
  return header;
}

}  // namespace glassbox::virtio
