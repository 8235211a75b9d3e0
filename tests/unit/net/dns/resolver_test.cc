// The name servers that the host asks.
#include "net/dns/resolver.h"

#include <gtest/gtest.h>

namespace glassbox::net {
namespace {

std::vector<IpAddress> found(std::string_view text) {
  const NameServers servers = name_servers_of(text);
  return {servers.span().begin(), servers.span().end()};
}
constexpr IpAddress v4(unsigned a, unsigned b, unsigned c, unsigned d) {
  return IpAddress::from_v4(ipv4(a, b, c, d));
}

TEST(ResolvConf, FirstThreeNameServers) {
  EXPECT_EQ(found("# comment\nsearch x\nnameserver fe80::1%eth0\nnameserver\t192.0.2.7 \nnameserver 1.1.1.1"),
            (std::vector{v4(192, 0, 2, 7), v4(1, 1, 1, 1)}));
  EXPECT_EQ(found("nameserver 2001:db8::53\nnameserver 1.1.1.1\n"),
            (std::vector{IpAddress{0x2001'0db8'0000'0000, 0x53}, v4(1, 1, 1, 1)}));
  EXPECT_EQ(found("nameserver 127.0.0.53\n"), std::vector{v4(127, 0, 0, 53)});
  EXPECT_EQ(found("nameserver1.2.3.4\nnameserver\nnameserver 1.2.3\noptions"), std::vector<IpAddress>{});
  EXPECT_EQ(found(""), std::vector<IpAddress>{});
  EXPECT_EQ(found("nameserver 1111111111111111111111111111"), std::vector<IpAddress>{});
  EXPECT_EQ(found("nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4").size(),
            3U);
}

TEST(ResolvConf, NamedServersStandForTheFile) {
  const std::vector<IpAddress> named = {v4(192, 0, 2, 1), v4(192, 0, 2, 2)};
  Resolver resolver(named);
  const auto servers = resolver.servers(1);
  EXPECT_EQ((std::vector<IpAddress>{servers.begin(), servers.end()}), named);
  EXPECT_EQ(resolver.version(1), resolver.version(1'000'000'000'000));
}

}  // namespace
}  // namespace glassbox::net
