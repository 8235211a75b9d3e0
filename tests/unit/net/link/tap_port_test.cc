// A tap device whose guest is the machine's own kernel, in a network namespace of the test.
#include "net/link/tap_port.h"

#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include "tests/unit/net/loop/virtual_loop.h"
#include "tests/unit/net/private_net.h"

namespace glassbox::net {
namespace {

constexpr const char* kInterface = "eth0";

struct NoSink final : FrameSink {
  void on_guest_frame(std::span<const iovec> /*frame*/, const VnetHeader& /*vnet*/,
                      std::uint16_t /*queue*/) override {}
  void on_guest_burst_end() override {}
  void on_rx_space() override {}
};

bool delete_interface(const char* name) {
  struct {
    nlmsghdr header;
    ifinfomsg info;
  } request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = RTM_DELLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.info.ifi_index = static_cast<int>(::if_nametoindex(name));
  const UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct {
    nlmsghdr header;
    nlmsgerr error;
  } answer{};
  return ::send(fd.get(), &request, sizeof(request), 0) == sizeof(request) &&
         ::recv(fd.get(), &answer, sizeof(answer), 0) > 0 && answer.header.nlmsg_type == NLMSG_ERROR &&
         answer.error.error == 0;
}

// A command that is root in its namespace may delete the interface. Then nothing comes from the guest any
// more, and epoll must not wake the network thread for it again and again.
TEST(TapPort, InterfaceThatTheGuestDeletesWakesNobody) {
  const PrivateNet world;
  if (!world.ok) GTEST_SKIP() << "no right to make a network namespace here";
  auto tap = open_tap(kInterface);
  if (!tap) GTEST_SKIP() << tap.error().message;
  VirtualLoop loop;
  const auto port = std::move(*TapPort::create(std::move(*tap), loop));
  NoSink sink;
  port->set_sink(&sink);
  ASSERT_TRUE(delete_interface(kInterface));
  int turns = 0;
  while (turns < 1000 && loop.turn())
    ++turns;
  EXPECT_LT(turns, 10) << "the loop spins";
  // What is still on its way to the guest is lost, and nothing else.
  ASSERT_FALSE(port->rx_reserve(60).empty());
  port->rx_commit({.bytes = 60, .vnet = {}});
  EXPECT_EQ(port->rx_publish(), 1U);
}

}  // namespace
}  // namespace glassbox::net
