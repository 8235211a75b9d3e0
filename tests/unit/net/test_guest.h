// A scripted guest: sends frames, reads what the NAT published, and keeps just enough TCP state to take part
// in a connection.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fake_port.h"
#include "guest_frames.h"
#include "host_server.h"
#include "net/flow/seq.h"
#include "net/inet.h"
#include "net/nat.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

// Event loop, port and NAT, all driven by the test's thread.
class Bench {
 public:
  explicit Bench(const NatConfig& config = {.allow_host_loopback = true, .mtu = 1500});
  ~Bench();

  FakePort port;
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<Nat> nat;

  // Turns the loop until the condition holds; false (and a test failure) if that takes absurdly long.
  bool run_until(const std::function<bool()>& condition);
  // Turns the loop for a time; for showing that nothing happens.
  void run_for_ms(unsigned ms);

  void inject(const std::vector<std::uint8_t>& frame, const VnetHeader& vnet = {});
  void end_burst() { nat->on_guest_burst_end(); }
  // The next published frame, run_until() one is there; nothing on failure.
  std::optional<Seen> next_frame();
  [[nodiscard]] bool quiet() { return port.published.empty(); }

 private:
  class Alarm;
  std::function<bool()> condition_;
  std::unique_ptr<Alarm> alarm_;
};

// The guest's end of one connection.
class GuestTcp {
 public:
  GuestTcp(Bench& bench, std::uint16_t dst_port, std::uint16_t guest_port = 40000, Ipv4 dst = kGatewayIp)
      : bench_(bench), dst_port_(dst_port), guest_port_(guest_port), dst_(dst) {}

  Seq iss = 0xffff'f000;  // wraps early
  Seq snd_nxt = 0;
  Seq rcv_nxt = 0;
  std::optional<std::uint8_t> offer_scale = 7;
  std::uint16_t mss = 1460;
  std::uint32_t window_bytes = 1U << 20;  // offered to the NAT
  bool auto_ack = true;

  std::string received;
  bool fin_received = false;
  bool reset_received = false;
  bool unreachable_received = false;
  bool syn_acked = false;
  Seen syn_ack;
  Seq acked = 0;                  // by the NAT
  std::uint32_t peer_window = 0;  // scaled
  std::size_t frames = 0;         // segments of this flow seen
  std::size_t largest_payload = 0;

  void send_syn();
  bool connect();                                                  // SYN, SYN-ACK, ACK
  void send(std::uint8_t flags, const std::string& payload = {});  // at snd_nxt, which moves
  void send_at(Seq seq, std::uint8_t flags, const std::string& payload = {});
  void send_ack() { send_at(snd_nxt, kTcpAck); }
  bool send_all(const std::string& data, std::size_t frame_bytes = 1460);  // respects the NAT's window
  void pump();                                                             // looks at what was published
  bool run_until(const std::function<bool()>& condition);

 private:
  void take(const Seen& seen);
  [[nodiscard]] std::uint16_t wire_window() const;

  Bench& bench_;
  std::uint16_t dst_port_;
  std::uint16_t guest_port_;
  Ipv4 dst_;
  int peer_scale_ = -1;
  Seq window_edge_ = 0;
  bool window_seen_ = false;
};

}  // namespace glassbox::net
