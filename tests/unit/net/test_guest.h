// A scripted guest: builds frames by hand, reads what the NAT published, and keeps just enough TCP state to
// take part in a connection. Host servers are real sockets in threads.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fake_port.h"
#include "net/inet.h"
#include "net/nat.h"
#include "net/seq.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

// One frame for the guest, taken apart; checksums are verified while parsing (EXPECT).
struct Seen {
  std::uint16_t ethertype = 0;
  std::uint8_t protocol = 0;
  Ipv4 source = 0;
  Ipv4 destination = 0;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  Seq seq = 0;
  Seq ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  std::vector<std::uint8_t> options;
  std::string payload;  // TCP payload, or what follows the IP header
  RxFrame facts;
};
[[nodiscard]] Seen take_apart(const PublishedFrame& frame);

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

struct SegmentSpec {
  std::uint16_t guest_port = 40000;
  std::uint16_t dst_port = 80;
  Ipv4 dst = kGatewayIp;
  Seq seq = 0;
  Seq ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 65535;
  std::vector<std::uint8_t> options = {};
  std::string payload = {};
  std::uint16_t urgent = 0;
  std::uint16_t fragment = 0;  // the IP header's flags and offset
};
[[nodiscard]] std::vector<std::uint8_t> build_segment(const SegmentSpec& spec);
[[nodiscard]] std::vector<std::uint8_t> build_ipv4(std::uint8_t protocol, Ipv4 destination,
                                                   const std::string& payload, std::uint16_t fragment = 0,
                                                   Ipv4 source = kGuestIp);
void set_ttl(std::vector<std::uint8_t>& ipv4_frame, std::uint8_t ttl);
[[nodiscard]] std::vector<std::uint8_t> build_arp(Ipv4 target);

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

// A listener on 127.0.0.1 that serves connections one after the other with a function, in a thread.
class Server {
 public:
  explicit Server(std::function<void(int fd)> serve, int backlog = 16);
  ~Server();
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] int accepted() const { return accepted_; }

 private:
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::atomic<int> accepted_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Blocking helpers of servers.
std::string read_all(int fd);
std::string read_some(int fd, std::size_t at_least);
void write_all(int fd, const std::string& data);
[[nodiscard]] std::string pattern(std::size_t bytes, unsigned seed = 1);
// A port of 127.0.0.1 on which nobody listens.
[[nodiscard]] std::uint16_t closed_port(int type = SOCK_STREAM);

}  // namespace glassbox::net
