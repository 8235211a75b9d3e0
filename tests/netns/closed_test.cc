// Destinations that the NAT behind `glassbox netns` closes by default. Each is tried over TCP, UDP and echo,
// and the counters show the reason of the refusal. The kernel in the namespace would not send most of these
// packets (RFC 4291, 2.5.3), so this program itself sends them as frames, in a role of its own (see main()).
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "bpf/reasons.h"
#include "net/address_text.h"
#include "net/host/socket_address.h"
#include "tests/netns/world.h"
#include "tests/unit/net/ipv6_frames.h"

namespace glassbox {
namespace {

using net::IpAddress;

constexpr std::uint16_t kPort = 7777;

// A service of the host that listens on all addresses.
class Service {
 public:
  explicit Service(int type) : fd_(::socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const net::SocketAddress any(net::kUnspecified6, kPort);
    works = ::bind(fd_.get(), any.get(), any.length()) == 0 &&
            (type != SOCK_STREAM || ::listen(fd_.get(), 16) == 0);
  }
  [[nodiscard]] bool was_reached() const {
    char byte = 0;
    const UniqueFd client(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return client || ::recv(fd_.get(), &byte, 1, 0) >= 0;
  }
  bool works = false;

 private:
  UniqueFd fd_;
};

class NetnsClosed : public NetnsWorld {
 protected:
  void SetUp() override {
    NetnsWorld::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!world->has_ipv6()) GTEST_SKIP() << "this kernel has no IPv6";
  }
  // Sends a frame of each protocol to the address, and reads the counters until they have the line.
  static std::string counters_with(const std::string& line, const std::string& address) {
    Process process(netns({std::filesystem::read_symlink("/proc/self/exe"), "--frames", address}));
    EXPECT_NE(process.take_until("sent\n").find("sent"), std::string::npos);
    std::string counters;
    for (int looks = 0; looks < 1000 && counters.find(line) == std::string::npos; ++looks) {
      ::kill(process.pid(), SIGUSR1);
      counters = process.take_until("guest frames: ");  // begins with the rest of the last reading
    }
    return counters;
  }
};

TEST_F(NetnsClosed, EachIsRefusedUnderItsReason) {
  const Service tcp(SOCK_STREAM), udp(SOCK_DGRAM);
  ASSERT_TRUE(tcp.works && udp.works);
  const auto refused = [](RefuseReason reason) {
    return "flow refused: " + std::string(name_of(reason)) + ": 3\n";
  };
  const auto dropped = [](DropReason reason) {
    return "frame dropped: " + std::string(name_of(reason)) + ": 3\n";
  };
  const std::string loopback = refused(RefuseReason::kHostLoopbackClosed);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"::", loopback},
      {"::1", loopback},
      {"fd00:10:0:2::2",
       "flow refused: " + std::string(name_of(RefuseReason::kHostLoopbackClosed)) + ": 2\n"},
      {"::ffff:127.0.0.1", dropped(DropReason::kMappedAddress)},
      {"::ffff:0.0.0.0", dropped(DropReason::kMappedAddress)},
      {"::ffff:192.0.2.1", dropped(DropReason::kMappedAddress)},
      {"::127.0.0.1", refused(RefuseReason::kBadDestination)},
      {World::kHost6, refused(RefuseReason::kHostAddressClosed)},
      {"2001:db8:1::", refused(RefuseReason::kHostAddressClosed)},  // the subnet-router anycast address
      {"fe80::1", refused(RefuseReason::kDenied)},
      {"fd00:ec2::254", refused(RefuseReason::kDenied)}};
  for (const auto& [address, line] : cases) {
    const std::string counters = counters_with(line, address);
    EXPECT_NE(counters.find(line), std::string::npos) << address << "\n" << counters;
    EXPECT_NE(counters.find("\nflows: 0 opened"), std::string::npos) << address << "\n" << counters;
  }
  EXPECT_FALSE(tcp.was_reached());
  EXPECT_FALSE(udp.was_reached());
}

// In the namespace: sends a SYN, a datagram and an echo request to the address, as raw frames.
int send_frames(const std::string& text) {
  const IpAddress to =
      text.starts_with("::ffff:") ? *net::ip_from_text(text.substr(7)) : *net::ip_from_text(text);
  const net::Bytes echo = {128, 0, 0, 0, 1, 2, 3, 4};
  const std::vector<net::Bytes> frames = {
      net::build_ipv6({net::kProtocolTcp, net::kGuestIp6, to}, net::tcp_segment(kPort, 1, 0, net::kTcpSyn),
                      16),
      net::build_ipv6({net::kProtocolUdp, net::kGuestIp6, to}, net::udp_datagram(5000, kPort, "x"), 6),
      net::build_ipv6({.destination = to}, echo, 2)};
  const UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  sockaddr_ll link{};
  link.sll_family = AF_PACKET;
  link.sll_ifindex = static_cast<int>(::if_nametoindex("eth0"));
  for (const net::Bytes& frame : frames) {
    if (::sendto(fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&link), sizeof(link)) <
        0)
      return 1;
  }
  std::cout << "sent" << std::endl;
  ::pause();
  return 0;
}

}  // namespace
}  // namespace glassbox

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--frames") return glassbox::send_frames(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
