// One vsock connection: a UNIX stream socket of the host at one end, the guest at the other.
//
// Theory of operation: flow control is by credit (virtio 1.2, 5.10.6.3). What the guest sends goes straight
// to the socket; bytes that the socket does not take wait in a ring of kBufferBytes, which is the guest's
// credit. A connection whose guest exceeds its credit is reset. Bytes that a host process sends stay in its
// socket until the guest has both buffers and credit; then they are received straight into the guest's
// memory. So a slow side makes nothing grow, and no byte is lost.
//
// Ends. If the process shuts down writing, the guest gets kShutdownSend after all data; if it closes, the
// guest gets both flags. If the guest shuts down sending, the socket's write side is shut once the ring is
// empty; if it shuts down both, the answer is kReset once the ring is empty, and the connection ends.
//
// Thread: the device loop.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "net/loop/event_loop.h"
#include "vmm/base/unique_fd.h"
#include "vmm/virtio/byte_ring.h"
#include "vmm/virtio/vsock/vsock_format.h"

namespace glassbox::virtio::vsock {

class Connection;

// The device, as a connection sees it.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  // The connection may now have a packet for the guest (has_packet()), or have ended.
  virtual void connection_changed(Connection& connection) = 0;
};

class Connection final : public net::FdHandler {
 public:
  enum class State : std::uint8_t {
    kConnecting,  // opened by the host: REQUEST is due or sent, RESPONSE has not come
    kOpen,
    kResetting,  // only a RST to the guest is left to send
    kClosing,    // the host shut both directions, the guest has the message and must confirm
    kGone,       // nothing is left to do
  };

  // Opened by the host (a REQUEST goes to the guest) or by the guest (a RESPONSE does). Owns the socket,
  // which must be non-blocking, and registers it.
  static std::unique_ptr<Connection> from_host(net::EventLoop& loop, ConnectionOwner& owner, Ports ports,
                                               UniqueFd socket);
  static std::unique_ptr<Connection> from_guest(net::EventLoop& loop, ConnectionOwner& owner, Ports ports,
                                                UniqueFd socket, const Header& request);
  ~Connection() override;

  // Ends it without a word to the guest: the process sees its socket closed, and no event comes any more.
  void abandon();

  [[nodiscard]] const Ports& ports() const { return ports_; }
  [[nodiscard]] State state() const { return state_; }

  // The guest has reset it. Bytes that it sent before still go to the process.
  [[nodiscard]] bool reset_by_guest() const { return guest_reset_; }

  // A packet from the guest, not a reset; payload holds header.len bytes.
  void on_packet(const Header& header, std::span<const iovec> payload);

  // Whether there is a packet for the guest, as far as is known without asking the socket.
  [[nodiscard]] bool has_packet() const;
  // Writes the next packet's payload into `room` and returns its header (addresses filled in); nothing if
  // there turned out to be none.
  [[nodiscard]] std::optional<Header> next_packet(std::span<iovec> room);

  void on_fd_ready(std::uint32_t events) override;

  // Marks for membership in the device's list of connections with packets.
  bool listed = false;

 private:
  Connection(net::EventLoop& loop, ConnectionOwner& owner, Ports ports, UniqueFd socket, State state);

  void open(const Header& peer);
  void on_data(std::span<const iovec> payload, std::size_t bytes);
  void on_shutdown(std::uint32_t flags);
  void flush();
  void finish_if_done();
  void reset();
  void close_socket();
  void took(std::size_t bytes);
  std::size_t send_some(std::span<const iovec> list);
  [[nodiscard]] bool deaf() const { return process_deaf_ || !socket_; }
  [[nodiscard]] bool may_read() const;
  [[nodiscard]] std::uint32_t shutdown_due() const;
  [[nodiscard]] std::uint32_t credit() const;
  [[nodiscard]] Header header_for(Op op);
  [[nodiscard]] std::optional<Header> data_packet(std::span<iovec> room);

  net::EventLoop& loop_;
  ConnectionOwner& owner_;
  const Ports ports_;
  State state_;
  UniqueFd socket_;
  bool readable_ = true;  // until the socket says otherwise
  bool writable_ = true;
  bool hung_up_ = false;       // the process closed its end
  bool end_of_file_ = false;   // ... and all of its bytes have been read
  bool process_deaf_ = false;  // a write failed: the process does not read any more

  // Control packets that are due.
  bool request_due_ = false;
  bool response_due_ = false;
  bool credit_update_due_ = false;
  bool credit_request_due_ = false;
  bool credit_asked_ = false;
  std::uint32_t shutdown_told_ = 0;   // directions announced to the guest
  std::uint32_t guest_shutdown_ = 0;  // directions that the guest announced
  bool guest_reset_ = false;          // the guest has reset it and expects no answer
  bool write_side_shut_ = false;

  // Credit, in bytes mod 2^32. To the guest: bytes sent, and its last announcement. From it: bytes that left
  // the ring.
  std::uint32_t sent_ = 0;
  std::uint32_t peer_buffer_ = 0;
  std::uint32_t peer_forwarded_ = 0;
  std::uint32_t forwarded_ = 0;
  std::uint32_t forwarded_told_ = 0;
  ByteRing ring_{kBufferBytes};
};

}  // namespace glassbox::virtio::vsock
