// After create() the frame path allocates nothing. A program of its own: it replaces operator new.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <new>

#include "private_net.h"
#include "test_guest.h"

namespace {
bool counting = false;
std::size_t allocations = 0;

void* allocate(std::size_t size) {
  if (counting) ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace glassbox::net {
namespace {

// Turns of the loop. The fake port and the harness allocate at the end of one, so they are kept out by hand.
class CountedTurns {
 public:
  explicit CountedTurns(EventLoop& loop) : loop_(loop) {
    loop.before_wait([this](BeforeWait) {
      counting = counted_;
      return false;
    });
    loop.at_turn_end([this] {
      counting = false;
      loop_.stop();
    });
  }
  void turn(bool counted) {
    counted_ = counted;
    loop_.run();
    counted_ = false;
  }

 private:
  EventLoop& loop_;
  bool counted_ = false;
};

// Frames are built and the server is served by this thread, outside the counting.
TEST(NatAllocation, NoneOnTheFramePath) {
  const Listener listener = listen_on_loopback(16);
  Bench bench;
  bench.port.discard = true;
  CountedTurns turns(*bench.loop);
  const auto counted = [&](const std::vector<std::uint8_t>& frame) {
    const iovec piece{const_cast<std::uint8_t*>(frame.data()), frame.size()};
    counting = true;
    bench.nat->on_guest_frame(std::span(&piece, 1), {}, 0);
    bench.nat->on_guest_burst_end();
    counting = false;
  };
  for (int cycle = 0; cycle < 40; ++cycle) {
    const bool warm = cycle >= 4;  // first uses of descriptors may grow the loop's table
    if (!warm) allocations = 0;
    const auto port = static_cast<std::uint16_t>(41000 + cycle);
    SegmentSpec spec{.guest_port = port, .dst_port = listener.port, .seq = 100, .flags = kTcpSyn};
    spec.options = {2, 4, 5, 0xb4, 1, 3, 3, 7};
    counted(build_segment(spec));
    turns.turn(warm);
    ASSERT_EQ(bench.port.last.tcp_flags, kTcpSyn | kTcpAck);
    const Seq iss = bench.port.last.seq;
    UniqueFd served(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    spec.options.clear();
    spec.seq = 101;
    spec.ack = iss + 1;
    spec.flags = kTcpAck | kTcpPsh;
    spec.payload = "request";
    counted(build_segment(spec));
    turns.turn(warm);
    ASSERT_EQ(read_some(served.get(), 7), "request");
    write_all(served.get(), std::string(100'000, 'r'));  // copies and peeks both
    turns.turn(warm);
    spec.seq += 7;
    spec.payload.clear();
    spec.flags = kTcpAck;
    spec.ack = iss + 1 + 60'000;
    counted(build_segment(spec));
    turns.turn(warm);
    served.reset();
    turns.turn(warm);
    spec.flags = kTcpRst;
    counted(build_segment(spec));
    turns.turn(warm);
  }
  EXPECT_EQ(bench.nat->counters().flows_open, 0U);
  EXPECT_EQ(bench.nat->counters().flows_opened, 40U);
  EXPECT_EQ(allocations, 0U);
}

std::string udp(std::uint16_t from, std::uint16_t to, const std::string& payload) {
  std::string datagram(kUdpHeader, '\0');
  auto* u = reinterpret_cast<std::uint8_t*>(datagram.data());
  store_be16(u, from);
  store_be16(u + 2, to);
  store_be16(u + 4, static_cast<std::uint16_t>(kUdpHeader + payload.size()));
  return datagram + payload;
}

// Datagrams, their errors, echo and questions to a name server that is not there.
TEST(NatAllocation, NoneForDatagrams) {
  PrivateNet world;
  if (!world.ok) GTEST_SKIP() << "no right to make a network namespace here";
  NatConfig config;
  config.allow_host_loopback = true;
  config.dns = {IpAddress::from_v4(ipv4(127, 0, 0, 1))};
  Bench bench(config);
  bench.port.discard = true;
  CountedTurns turns(*bench.loop);
  std::string echo(kIcmpHeader, '\0');
  echo[0] = 8;
  echo[2] = '\xf7';
  echo[3] = '\xff';
  const auto name = std::string(1, '\7') + "example" + std::string(1, '\0');
  const auto question = std::string("\0\1\1\0\0\1\0\0\0\0\0\0", 12) + name + std::string("\0\1\0\1", 4);
  for (int round = 0; round < 20; ++round) {
    const bool warm = round >= 4;
    if (!warm) allocations = 0;
    const auto port = static_cast<std::uint16_t>(5000 + round);
    for (const auto& frame : {build_ipv4(kProtocolUdp, PrivateNet::kAddress, udp(port, 9, "nobody there")),
                              build_ipv4(kProtocolUdp, PrivateNet::kUnreachable, udp(port, 9, "no way")),
                              build_ipv4(kProtocolUdp, ipv4(169, 254, 1, 1), udp(port, 9, "denied")),
                              build_ipv4(kProtocolUdp, kDnsIp, udp(port, 53, question)),
                              build_ipv4(kProtocolIcmp, PrivateNet::kAddress, echo),
                              build_ipv4(kProtocolIcmp, kGatewayIp, echo)}) {
      const iovec piece{const_cast<std::uint8_t*>(frame.data()), frame.size()};
      counting = true;
      bench.nat->on_guest_frame(std::span(&piece, 1), {}, 0);
      counting = false;
      turns.turn(warm);
    }
  }
  EXPECT_GE(bench.nat->counters().icmp_errors_passed, 19U);
  EXPECT_EQ(bench.nat->counters().dns_failed, 20U);
  EXPECT_EQ(bench.nat->counters().echo_flows_opened, 1U);
  EXPECT_EQ(allocations, 0U);
}

}  // namespace
}  // namespace glassbox::net
