// The DHCP server: each message type of RFC 2131, and messages that lie about their lengths.
#include <gtest/gtest.h>

#include "net/config/dhcp.h"
#include "net/link/checksum.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Message {
  std::uint8_t type = 1;
  Ipv4 client = 0;
  std::uint16_t flags = 0;
  Bytes options = {};
  bool end = true;
};

Bytes build(const Message& m) {
  Bytes b(240);
  b[0] = 1;
  b[1] = 1;
  b[2] = 6;
  store_be32(&b[4], 0xabcd1234);
  store_be16(&b[10], m.flags);
  store_be32(&b[12], m.client);
  std::copy(kGuestMac.begin(), kGuestMac.end(), b.begin() + 28);
  store_be32(&b[236], 0x63825363);
  b.insert(b.end(), {53, 1, m.type});
  b.insert(b.end(), m.options.begin(), m.options.end());
  if (m.end) b.push_back(255);
  return b;
}

Bytes address_option(std::uint8_t code, Ipv4 address) {
  Bytes option = {code, 4, 0, 0, 0, 0};
  store_be32(&option[2], address);
  return option;
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The value of an option of a reply, empty if it is not there.
Bytes option_of(const DhcpReply& reply, std::uint8_t code) {
  for (std::size_t at = 240; at < reply.message.size() && reply.message[at] != 255;) {
    const std::size_t length = reply.message[at + 1];
    if (reply.message[at] == code) {
      const auto* value = &reply.message[at + 2];
      return {value, value + length};
    }
    at += 2 + length;
  }
  return {};
}

DhcpReply answer(const Message& message) {
  DhcpReply reply;
  EXPECT_EQ(answer_dhcp(build(message), 1400, reply), DhcpOutcome::kReply);
  return reply;
}

const Bytes kOurs = {10, 0, 2, 2};
const Ipv4 kBroadcast = ~Ipv4{0};

TEST(Dhcp, DiscoverIsOfferedTheAddressAndAllThatGoesWithIt) {
  const DhcpReply offer = answer({});
  EXPECT_EQ(offer.message[0], 2);
  EXPECT_EQ(load_be32(&offer.message[4]), 0xabcd1234U);
  EXPECT_EQ(load_be32(&offer.message[16]), kGuestIp);
  EXPECT_TRUE(std::equal(kGuestMac.begin(), kGuestMac.end(), offer.message.begin() + 28));
  EXPECT_EQ(option_of(offer, 53), Bytes{2});
  EXPECT_EQ(option_of(offer, 54), kOurs);
  EXPECT_EQ(option_of(offer, 1), (Bytes{255, 255, 255, 0}));
  EXPECT_EQ(option_of(offer, 3), kOurs);
  EXPECT_EQ(option_of(offer, 6), (Bytes{10, 0, 2, 3}));
  EXPECT_EQ(option_of(offer, 26), (Bytes{1400 >> 8, 1400 & 0xff}));
  EXPECT_EQ(option_of(offer, 51).size(), 4U);
  EXPECT_EQ(offer.destination, kGuestIp);
  EXPECT_EQ(answer({.flags = 0x8000}).destination, kBroadcast);
}

TEST(Dhcp, RequestIsAcknowledgedOrRefused) {
  const Bytes server = address_option(54, kGatewayIp);
  const Bytes right = address_option(50, kGuestIp);
  const Bytes wrong = address_option(50, ipv4(192, 168, 1, 5));
  EXPECT_EQ(option_of(answer({.type = 3, .options = server + right}), 53), Bytes{5});  // selecting
  EXPECT_EQ(option_of(answer({.type = 3, .options = right}), 53), Bytes{5});           // rebooting
  EXPECT_EQ(option_of(answer({.type = 3, .client = kGuestIp}), 53), Bytes{5});         // renewing
  for (const Message& bad :
       {Message{.type = 3, .options = server + wrong}, Message{.type = 3, .options = wrong},
        Message{.type = 3, .client = ipv4(10, 0, 2, 16)}, Message{.type = 3}}) {
    const DhcpReply nak = answer(bad);
    EXPECT_EQ(option_of(nak, 53), Bytes{6});
    EXPECT_EQ(load_be32(&nak.message[16]), 0U);
    EXPECT_TRUE(option_of(nak, 51).empty());
    EXPECT_EQ(nak.destination, kBroadcast);
  }
}

TEST(Dhcp, InformGetsOptionsWithoutALease) {
  const DhcpReply reply = answer({.type = 8, .client = kGuestIp});
  EXPECT_EQ(option_of(reply, 53), Bytes{5});
  EXPECT_EQ(load_be32(&reply.message[16]), 0U);
  EXPECT_TRUE(option_of(reply, 51).empty());
  EXPECT_EQ(option_of(reply, 3), kOurs);
  EXPECT_EQ(reply.destination, kGuestIp);
}

TEST(Dhcp, NothingIsSaidToDeclineReleaseOrTheClientOfAnotherServer) {
  DhcpReply reply;
  const Bytes other = address_option(54, ipv4(10, 0, 2, 9)) + address_option(50, kGuestIp);
  for (const Message& message :
       {Message{.type = 4}, Message{.type = 7, .client = kGuestIp}, Message{.type = 3, .options = other}}) {
    EXPECT_EQ(answer_dhcp(build(message), 1500, reply), DhcpOutcome::kNoReply);
  }
}

TEST(Dhcp, LengthsThatLieAreMalformed) {
  DhcpReply reply;
  const Bytes good = build({});
  for (std::size_t n = 0; n < 240; ++n) {
    // An allocation of exactly n bytes, so that a sanitizer sees a read beyond it.
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_EQ(answer_dhcp(cut, 1500, reply), DhcpOutcome::kMalformed);
  }
  for (const Bytes& options : std::vector<Bytes>{{50},
                                                 {50, 4},
                                                 {50, 4, 10, 0, 2},
                                                 {50, 3, 1, 2, 3},
                                                 {54, 0},
                                                 {12, 255, 'x'},
                                                 {53, 0},
                                                 {53, 2, 1, 1}}) {
    const Bytes message = build({.options = options, .end = false});
    EXPECT_EQ(answer_dhcp(message, 1500, reply), DhcpOutcome::kMalformed) << int{options[0]};
  }
  EXPECT_EQ(answer_dhcp(build({.end = false}), 1500, reply), DhcpOutcome::kReply);
  for (const std::uint8_t type : {0, 2, 5, 6, 9, 255}) {
    EXPECT_EQ(answer_dhcp(build({.type = type}), 1500, reply), DhcpOutcome::kMalformed);
  }
  const std::vector<std::size_t> fields = {0, 1, 2, 24, 236};  // op, type, length, relay, cookie
  for (const std::size_t field : fields) {
    Bytes changed = good;
    changed[field] ^= 0x40;
    EXPECT_EQ(answer_dhcp(changed, 1500, reply), DhcpOutcome::kMalformed) << field;
  }
}

std::vector<std::uint8_t> broadcast_frame(const Bytes& message, Ipv4 source, std::uint16_t to_port) {
  std::string udp(kUdpHeader, '\0');
  auto* u = reinterpret_cast<std::uint8_t*>(udp.data());
  store_be16(u, 68);
  store_be16(u + 2, to_port);
  store_be16(u + 4, static_cast<std::uint16_t>(kUdpHeader + message.size()));
  udp.append(message.begin(), message.end());
  auto frame = build_ipv4(kProtocolUdp, kBroadcast, udp, 0, source);
  std::fill_n(frame.begin(), 6, std::uint8_t{0xff});
  return frame;
}

TEST(Dhcp, FrameInFrameOut) {
  Bench bench;
  bench.inject(broadcast_frame(build({}), 0, 67));
  const auto seen = bench.next_frame();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->source, kGatewayIp);
  EXPECT_EQ(seen->destination, kGuestIp);
  const auto* u = reinterpret_cast<const std::uint8_t*>(seen->payload.data());
  EXPECT_EQ(load_be16(u), 67);
  EXPECT_EQ(load_be16(u + 2), 68);
  Checksum sum;
  sum.add_pseudo_header(seen->source, seen->destination, kProtocolUdp, seen->payload.size());
  sum.add(std::span(u, seen->payload.size()));
  EXPECT_EQ(sum.value(), 0);
  EXPECT_EQ(seen->payload.size(), kUdpHeader + 320);
}

TEST(Dhcp, OtherBroadcastsAndSourcesStayOut) {
  Bench bench;
  bench.inject(broadcast_frame(build({}), 0, 69));
  EXPECT_EQ(bench.nat->counters()[DropReason::kNotForUs], 1U);
  bench.inject(broadcast_frame(build({}), ipv4(1, 2, 3, 4), 67));
  EXPECT_EQ(bench.nat->counters()[DropReason::kBadSource], 1U);
  bench.inject(broadcast_frame(Bytes(1473), 0, 67));
  bench.inject(broadcast_frame(Bytes(2), 0, 67));
  EXPECT_EQ(bench.nat->counters()[DropReason::kBadDhcp], 2U);
  EXPECT_TRUE(bench.quiet());
}

}  // namespace
}  // namespace glassbox::net
