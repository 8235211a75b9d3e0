// Every drop fires frame_drop with its reason, as PROBES.md promises: the probe reports each drop that is
// counted, on the way to the guest too. Built with the backend that logs at each probe's site.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <sstream>

#include "net/dns/dns_message.h"
#include "net/link/checksum.h"
#include "tests/unit/net/loop/virtual_loop.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

// How often the probe told of each reason.
std::array<std::uint64_t, kDropReasons> told(std::istringstream log) {
  std::array<std::uint64_t, kDropReasons> out{};
  std::string name;
  std::uint64_t reason = 0, bytes = 0;
  for (std::string line; std::getline(log, line);) {
    std::istringstream words(line);
    if (words >> name && name == "frame_drop" && words >> reason >> bytes) ++out.at(reason);
  }
  return out;
}

class DropProbes : public testing::Test {
 protected:
  DropProbes() {
    const auto logger =
        std::make_shared<spdlog::logger>("probes", std::make_shared<spdlog::sinks::ostream_sink_st>(log_));
    logger->set_pattern("%v");
    logger->set_level(spdlog::level::trace);
    spdlog::set_default_logger(logger);
    // The guest's first datagram opens the flow whose answers will be lost.
    server_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* name = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(server_.get(), name, sizeof(address)), 0);
    EXPECT_EQ(::getsockname(server_.get(), name, &length), 0);
    const NatConfig config{
        .allow_host_loopback = true, .mtu = 1500, .dns = {IpAddress::from_v4(ipv4(203, 0, 113, 5))}};
    nat_ = std::move(*Nat::create(config, loop_, port_));
    inject(udp(ntohs(address.sin_port), "open"));
    char byte = 0;
    EXPECT_EQ(::recvfrom(server_.get(), &byte, 1, 0, name, &length), 1);
    EXPECT_EQ(::connect(server_.get(), name, length), 0);
  }
  static std::vector<std::uint8_t> udp(std::uint16_t to, const std::string& payload) {
    std::string datagram(kUdpHeader, '\0');  // without a checksum
    auto* header = reinterpret_cast<std::uint8_t*>(datagram.data());
    store_be16(header, 5000);
    store_be16(header + 2, to);
    store_be16(header + 4, static_cast<std::uint16_t>(kUdpHeader + payload.size()));
    return build_ipv4(kProtocolUdp, kGatewayIp, datagram + payload);
  }
  void inject(const std::vector<std::uint8_t>& frame) {
    const iovec piece{const_cast<std::uint8_t*>(frame.data()), frame.size()};
    nat_->on_guest_frame(std::span(&piece, 1), {}, 0);
    nat_->on_guest_burst_end();
  }
  void answer(std::size_t bytes) {
    const std::string text(bytes, 'a');
    EXPECT_EQ(::send(server_.get(), text.data(), text.size(), 0), static_cast<ssize_t>(bytes));
    loop_.turn();
  }
  // Every reason as often as it was counted, and this one at all.
  void expect_told(DropReason reason) {
    const auto probes = told(std::istringstream(log_.str()));
    for (std::size_t k = 0; k < kDropReasons; ++k)
      EXPECT_EQ(probes.at(k), nat_->counters().dropped.at(k)) << kDropReasonNames.at(k);
    EXPECT_GT(probes.at(static_cast<std::size_t>(reason)), 0U) << name_of(reason);
  }

  std::ostringstream log_;
  VirtualLoop loop_;
  FakePort port_;
  UniqueFd server_;
  std::unique_ptr<Nat> nat_;
};

TEST_F(DropProbes, TellOfFramesOfTheGuest) {
  inject({1, 2, 3});
  expect_told(DropReason::kShortFrame);
}

TEST_F(DropProbes, TellOfSegmentsOfNoFlow) {
  inject(build_segment({.flags = kTcpAck}));
  expect_told(DropReason::kNoFlow);
}

TEST_F(DropProbes, TellOfDatagramsTooLongForTheGuest) {
  answer(1473);
  expect_told(DropReason::kTooLong);
}

TEST_F(DropProbes, TellOfDatagramsForWhichTheGuestHasNoBuffer) {
  port_.frames_left = 0;
  answer(5);
  expect_told(DropReason::kNoReceiveBuffer);
}

TEST_F(DropProbes, TellOfAnswersOfTheGatewayForWhichTheGuestHasNoBuffer) {
  port_.frames_left = 0;
  inject(build_arp(kGatewayIp));
  expect_told(DropReason::kNoReceiveBuffer);
}

TEST_F(DropProbes, TellOfNamesForWhichTheGuestHasNoBuffer) {
  port_.frames_left = 0;
  const std::string not_a_query("\0\1\1\0\0\0\0\0\0\0\0\0", kDnsHeader);
  auto frame = udp(53, not_a_query);
  store_be32(&frame[kEthernetHeader + 16], kDnsIp);
  store_be16(&frame[kEthernetHeader + 10], 0);
  Checksum sum;
  sum.add(std::span<const std::uint8_t>(&frame[kEthernetHeader], kIpv4Header));
  store_be16(&frame[kEthernetHeader + 10], sum.value());
  inject(frame);
  expect_told(DropReason::kNoReceiveBuffer);
}

}  // namespace
}  // namespace glassbox::net
