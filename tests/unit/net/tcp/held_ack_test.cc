// The acknowledgement of a short request to a local server waits for the reply, on virtual time.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/tcp/ack_hold.h"
#include "tests/unit/net/loop/virtual_loop.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

class HeldAck : public testing::Test {
 protected:
  void SetUp() override {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    ASSERT_EQ(::listen(listener_.get(), 4), 0);
    ASSERT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    port_ = ntohs(address.sin_port);
    auto nat = Nat::create({.allow_host_loopback = true, .mtu = 1500}, loop_, guest_side_);
    ASSERT_TRUE(nat) << nat.error().message;
    nat_ = std::move(*nat);
    segment(kTcpSyn);
    const auto syn_ack = published();
    ASSERT_EQ(syn_ack.size(), 1U);
    their_next_ = syn_ack[0].seq + 1;
    segment(kTcpAck);
    server_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(server_);
    EXPECT_TRUE(published().empty());
  }

  void segment(std::uint8_t flags, const std::string& payload = {}) {
    SegmentSpec spec{.dst_port = port_};
    spec.seq = next_;
    spec.ack = (flags & kTcpAck) != 0 ? their_next_ : 0;
    spec.flags = flags;
    spec.payload = payload;
    if ((flags & kTcpSyn) != 0) spec.options = {2, 4, 5, 0xb4};
    next_ += static_cast<Seq>(payload.size()) + ((flags & (kTcpSyn | kTcpFin)) != 0 ? 1 : 0);
    const auto frame = build_segment(spec);
    const iovec piece{const_cast<std::uint8_t*>(frame.data()), frame.size()};
    nat_->on_guest_frame(std::span(&piece, 1), {}, 0);
    nat_->on_guest_burst_end();
  }
  // What the guest gets, once nothing moves any more.
  std::vector<Seen> published() {
    while (loop_.turn()) {
    }
    std::vector<Seen> seen;
    for (; !guest_side_.published.empty(); guest_side_.published.pop_front())
      seen.push_back(take_apart(guest_side_.published.front()));
    return seen;
  }
  void reply(const std::string& text) {
    ASSERT_EQ(::send(server_.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  void wait(std::uint64_t ns) { loop_.advance_to(loop_.now_ns() + ns); }

  VirtualLoop loop_;
  FakePort guest_side_;
  std::unique_ptr<Nat> nat_;
  UniqueFd listener_, server_;
  std::uint16_t port_ = 0;
  Seq next_ = 1000;
  Seq their_next_ = 0;
};

TEST_F(HeldAck, AReplyInTimeCarriesIt) {
  for (int i = 0; i < 5; ++i) {
    segment(kTcpAck | kTcpPsh, "?");
    EXPECT_TRUE(published().empty());
    wait(30'000);
    reply("!");
    const auto seen = published();
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].payload, "!");
    EXPECT_EQ(seen[0].ack, next_);
    ++their_next_;
  }
}

TEST_F(HeldAck, WithoutAReplyItEndsInTimeAndIsNotTriedAgain) {
  segment(kTcpAck | kTcpPsh, "?");
  EXPECT_TRUE(published().empty());
  EXPECT_LE(loop_.deadline_ns(), loop_.now_ns() + AckHold::kHoldNs);
  wait(AckHold::kHoldNs);
  auto seen = published();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].ack, next_);
  segment(kTcpAck | kTcpPsh, "and");
  seen = published();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].ack, next_);
}

TEST_F(HeldAck, AFullSegmentIsAcknowledgedAtOnce) {
  segment(kTcpAck, std::string(1000, 'a'));
  EXPECT_TRUE(published().empty());
  segment(kTcpAck | kTcpPsh, std::string(1000, 'b'));
  const auto seen = published();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].ack, next_);
}

TEST_F(HeldAck, AFinIsAcknowledgedAtOnce) {
  segment(kTcpAck | kTcpPsh | kTcpFin, "last");
  const auto seen = published();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].ack, next_);
}

// Nor does anybody wait for it: it may share the interrupt of the next frame.
TEST_F(HeldAck, OnlyTheAcknowledgementOfAFinIsNotAwaited) {
  EXPECT_TRUE(guest_side_.last.awaited) << "SYN-ACK";
  segment(kTcpAck, std::string(1000, 'a'));
  segment(kTcpAck | kTcpPsh, std::string(1000, 'b'));
  EXPECT_EQ(published().size(), 1U);
  EXPECT_TRUE(guest_side_.last.awaited);
  segment(kTcpAck | kTcpFin);
  EXPECT_EQ(published().size(), 1U);
  EXPECT_FALSE(guest_side_.last.awaited);
  reply("more");
  EXPECT_EQ(published().size(), 1U);
  EXPECT_TRUE(guest_side_.last.awaited);
}

}  // namespace
}  // namespace glassbox::net
