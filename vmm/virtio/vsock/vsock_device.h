// virtio-vsock (virtio 1.2, 5.10), the host side in this process, with Firecracker's convention for UNIX
// sockets:
//
//   host -> guest  connect to PATH, send "CONNECT <port>\n"; after "OK <host port>\n" the stream is the
//                  connection. Refused by the guest, or no guest driver yet: the socket is closed.
//   guest -> host  the guest connects to port P of CID 2; the process that listens at "PATH_P" gets the
//                  stream; without a listener the guest is refused.
//
// Theory of operation: queue 0 carries packets to the guest, queue 1 from it; queue 2 (events) stays unused.
// A packet from the guest is always taken up at once: its payload goes to a socket or into the connection's
// bounded ring (vsock_connection.h), and a due answer is a flag of the connection, or an entry in a
// short list of resets for connections that do not exist. While that list is full, no packet is taken from
// the guest until it provides buffers for the resets. Connections with a packet for the guest wait in one
// list, each once, and are served one packet at a time in turn. So no number of packets makes memory grow
// beyond kMaxConnections rings.
//
// Thread: the device loop.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "vmm/virtio/device.h"
#include "vmm/virtio/vsock/vsock_connection.h"
#include "vmm/virtio/vsock/vsock_format.h"

namespace glassbox::virtio {

class VsockDevice final : public Device, public vsock::ConnectionOwner {
 public:
  static constexpr unsigned kReceiveQueue = 0;
  static constexpr unsigned kTransmitQueue = 1;
  static constexpr unsigned kQueues = 3;
  static constexpr std::size_t kMaxConnections = 256;
  static constexpr std::size_t kMaxHandshakes = 64;
  static constexpr std::size_t kMaxResets = 64;
  static constexpr unsigned kBurst = 64;  // packets each way in one turn of the loop

  // Listens at path and removes it on destruction. The loop must outlive the device and must not run then.
  [[nodiscard]] static Result<std::unique_ptr<VsockDevice>> create(net::EventLoop& loop, std::string path,
                                                                   std::uint64_t guest_cid);
  ~VsockDevice() override;

  DeviceInfo info() const override;
  net::EventLoop& loop() override { return loop_; }
  void read_config(std::uint64_t offset, std::span<std::uint8_t> data) const override;
  void activate(Transport& transport, std::uint64_t features) override;
  void reset() override;
  void on_kick(unsigned queue) override;

  void connection_changed(vsock::Connection& connection) override;

  [[nodiscard]] std::size_t connections() const { return connections_.size(); }

 private:
  class Handshake;
  struct Listener final : net::FdHandler {
    VsockDevice* device = nullptr;
    UniqueFd socket;
    void on_fd_ready(std::uint32_t) override { device->accept_all(); }
  };
  using Connections = std::unordered_map<std::uint64_t, std::unique_ptr<vsock::Connection>>;

  VsockDevice(net::EventLoop& loop, std::string path, std::uint64_t guest_cid);

  void accept_all();
  bool refuse_waiting();
  void handshake_done(Handshake& handshake, std::optional<std::uint32_t> guest_port);

  void turn_end();
  bool may_sleep();
  void take_from_guest();
  void take_packet(DescriptorChain& chain);
  void on_request(const vsock::Header& header);
  void give_to_guest();
  bool give_packet(DescriptorChain chain);
  std::optional<vsock::Header> next_packet(std::span<iovec> room);
  [[nodiscard]] bool has_packet() const { return !resets_.empty() || !waiting_.empty(); }
  void refuse(const vsock::Header& header);
  [[nodiscard]] bool make_room();
  void bury(vsock::Connection& connection);
  void malformed();

  net::EventLoop& loop_;
  const std::string path_;
  const std::uint64_t guest_cid_;
  Listener listener_;
  UniqueFd spare_;                  // see refuse_waiting()
  Transport* transport_ = nullptr;  // null: not active
  std::uint32_t next_host_port_ = 1U << 30;

  std::vector<std::unique_ptr<Handshake>> handshakes_;
  Connections connections_;
  std::deque<vsock::Connection*> waiting_;  // have a packet for the guest; each once
  std::deque<vsock::Ports> resets_;         // at most kMaxResets
  // Ended during this turn: their handlers may still be running.
  std::vector<std::unique_ptr<vsock::Connection>> graveyard_;
  std::vector<std::unique_ptr<Handshake>> old_handshakes_;

  bool tx_pending_ = false;
  bool rx_pending_ = false;
  std::array<iovec, Queue::kMaxSize> iovecs_{};
};

}  // namespace glassbox::virtio
