// The DNS forwarder against name servers of the test, on port 53 of loopback addresses in a network
// namespace. Time is virtual.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "dns_builder.h"
#include "net/host/socket_address.h"
#include "net/link/checksum.h"
#include "tests/unit/net/loop/virtual_loop.h"
#include "tests/unit/net/private_net.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

constexpr IpAddress kFirst = IpAddress::from_v4(ipv4(127, 0, 0, 1));
constexpr IpAddress kSecond = IpAddress::from_v4(ipv4(127, 0, 0, 2));

class NameServer {
 public:
  explicit NameServer(const IpAddress& at)
      : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const SocketAddress address(at, 53);
    EXPECT_EQ(::bind(fd_.get(), address.get(), address.length()), 0);
  }
  // The next question that came; empty if there is none.
  std::string take() {
    std::string text(2000, '\0');
    peer_ = {};
    const ssize_t n = ::recvfrom(fd_.get(), text.data(), text.size(), 0, peer_.get(), peer_.length_out());
    text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return text;
  }
  void answer(const std::string& message) {
    ::sendto(fd_.get(), message.data(), message.size(), 0, peer_.get(), peer_.length());
  }
  [[nodiscard]] std::uint16_t peer_port() const { return peer_.port(); }

 private:
  UniqueFd fd_;
  SocketAddress peer_;
};

std::uint16_t id_of(const std::string& message) {
  return load_be16(octets(message).data());
}

class DnsForwarding : public testing::Test {
 protected:
  void SetUp() override {
    if (!world.ok) GTEST_SKIP() << "no right to make a network namespace here";
    start({kFirst, kSecond});
  }
  void start(std::vector<IpAddress> servers) {
    NatConfig config;
    config.dns = std::move(servers);
    nat = std::move(*Nat::create(config, loop, port));
  }
  void ask(const std::string& message, std::uint16_t from = 40000) {
    std::string udp(kUdpHeader, '\0');
    auto* u = reinterpret_cast<std::uint8_t*>(udp.data());
    store_be16(u, from);
    store_be16(u + 2, 53);
    store_be16(u + 4, static_cast<std::uint16_t>(kUdpHeader + message.size()));
    const auto frame = build_ipv4(kProtocolUdp, kDnsIp, udp + message);
    const iovec piece{const_cast<std::uint8_t*>(frame.data()), frame.size()};
    nat->on_guest_frame(std::span(&piece, 1), {}, 0);
  }
  // What the guest got; empty if nothing.
  std::string got() {
    while (loop.turn()) {
    }
    if (port.published.empty()) return {};
    const Seen seen = take_apart(port.published.front());
    port.published.pop_front();
    EXPECT_EQ(seen.protocol, kProtocolUdp);
    EXPECT_EQ(seen.source, kDnsIp);
    return seen.payload.substr(kUdpHeader);
  }
  void pass_seconds(std::uint64_t seconds) {
    loop.advance_to(loop.now_ns() + seconds * 1'000'000'000);
    loop.turn();
  }
  // Lets the forwarder's next time-out come.
  void time_out() {
    loop.turn();
    ASSERT_NE(loop.deadline_ns(), 0U);
    loop.advance_to(loop.deadline_ns());
    loop.turn();
  }

  PrivateNet world;
  VirtualLoop loop;
  FakePort port;
  std::unique_ptr<Nat> nat;
};

TEST_F(DnsForwarding, AnswerComesBackUnderTheGuestsIdAndSpellingAndIsKept) {
  NameServer server(kFirst);
  ask(dns_message({.id = 7, .name = "WWW.Example.com"}));
  const std::string asked = server.take();
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(asked.substr(2), dns_message({.name = "WWW.Example.com"}).substr(2));
  DnsSpec reply = dns_answer(300);
  reply.id = id_of(asked);
  server.answer(dns_message(reply));  // in small letters
  DnsSpec expected = dns_answer(300);
  expected.id = 7;
  expected.name = "WWW.Example.com";
  EXPECT_EQ(got(), dns_message(expected));
  pass_seconds(100);
  ask(dns_message({.id = 8}), 40001);
  expected = dns_answer(200);
  expected.id = 8;
  EXPECT_EQ(got(), dns_message(expected));
  EXPECT_EQ(server.take(), "");
  pass_seconds(200);
  ask(dns_message({.id = 9}));
  EXPECT_NE(server.take(), "");
  EXPECT_EQ(nat->counters().dns_cached, 1U);
}

TEST_F(DnsForwarding, PortsAndIdentifiersDiffer) {
  NameServer server(kFirst);
  std::vector<std::uint16_t> ids;
  std::vector<std::uint16_t> ports;
  for (int i = 0; i < 8; ++i) {
    ask(dns_message({.id = 1, .name = "n" + std::to_string(i)}));
    ids.push_back(id_of(server.take()));
    ports.push_back(server.peer_port());
  }
  for (auto* values : {&ids, &ports}) {
    std::sort(values->begin(), values->end());
    EXPECT_GT(std::unique(values->begin(), values->end()) - values->begin(), 5);
  }
}

TEST_F(DnsForwarding, ForgedAnswersAreRejected) {
  NameServer server(kFirst);
  ask(dns_message({.id = 7}));
  DnsSpec reply = dns_answer(300);
  reply.id = static_cast<std::uint16_t>(id_of(server.take()) + 1);
  server.answer(dns_message(reply));  // another identifier
  --reply.id;
  reply.name = "www.example.org";
  server.answer(dns_message(reply));  // another question
  reply.name = "www.example.com";
  reply.flags = kDnsRecursionDesired;
  server.answer(dns_message(reply));  // no answer at all
  server.answer("x");
  const std::string header = dns_message({.id = reply.id, .flags = kDnsResponse}).substr(0, 4);
  server.answer(header + std::string(kDnsHeader - 4, '\0'));  // a success that does not say of what
  EXPECT_EQ(got(), "");
  EXPECT_EQ(nat->counters().dns_rejected, 5U);
  DnsSpec right = dns_answer(300);
  right.id = reply.id;
  server.answer(dns_message(right));  // the question is still open for it
  EXPECT_NE(got(), "");
}

// A server that floods the guest's question, or an attacker who forges its address, cannot hold up the turn,
// and the right answer still gets through.
TEST_F(DnsForwarding, FloodOfWrongAnswersIsTakenOverSeveralTurns) {
  NameServer server(kFirst);
  ask(dns_message({.id = 7}));
  const std::string asked = server.take();
  ASSERT_FALSE(asked.empty());
  DnsSpec reply = dns_answer(300);
  reply.id = static_cast<std::uint16_t>(id_of(asked) + 1);
  for (int i = 0; i < 150; ++i)
    server.answer(dns_message(reply));
  reply.id = id_of(asked);
  server.answer(dns_message(reply));
  loop.turn();
  EXPECT_EQ(nat->counters().dns_rejected, 64U);
  EXPECT_FALSE(got().empty());
  EXPECT_EQ(nat->counters().dns_rejected, 150U);
}

TEST_F(DnsForwarding, SilentServersAreAskedInTurnThenItFails) {
  NameServer first(kFirst);
  NameServer second(kSecond);
  ask(dns_message({.id = 7}));
  for (int round = 0; round < 2; ++round) {
    EXPECT_NE(first.take(), "");
    EXPECT_EQ(second.take(), "");
    time_out();
    EXPECT_NE(second.take(), "");
    EXPECT_EQ(first.take(), "");
    time_out();
  }
  EXPECT_EQ(first.take(), "");
  const std::string failure = got();
  ASSERT_EQ(failure.size(), dns_message({}).size());
  EXPECT_EQ(id_of(failure), 7);
  EXPECT_EQ(load_be16(octets(failure).data() + 2),
            kDnsResponse | kDnsRecursionDesired | kDnsRecursionAvailable | 2);
  EXPECT_EQ(failure.substr(12), dns_message({}).substr(12));
  loop.turn();
  EXPECT_EQ(loop.deadline_ns(), 0U);
}

TEST_F(DnsForwarding, AnswerOfTheSecondMakesItTheFirst) {
  NameServer second(kSecond);  // the first has no listener: it refuses at once, no time passes
  ask(dns_message({.id = 7}));
  EXPECT_EQ(got(), "");
  DnsSpec reply = dns_answer(300);
  reply.id = id_of(second.take());
  second.answer(dns_message(reply));
  EXPECT_NE(got(), "");
  NameServer first(kFirst);
  ask(dns_message({.id = 7, .name = "other.example.com"}));
  EXPECT_EQ(first.take(), "");
  EXPECT_NE(second.take(), "");
}

// Puts a file of the test in place of the host's list of name servers, for the rest of this thread's life.
class PrivateResolvConf {
 public:
  explicit PrivateResolvConf(const std::string& text) : fd_(::mkstemp(path_.data())) {
    ok = fd_ && ::unshare(CLONE_NEWNS) == 0;
    if (!ok) return;
    write(text);
    ok = ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount(path_.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr) == 0;
  }
  ~PrivateResolvConf() { ::unlink(path_.c_str()); }
  PrivateResolvConf(const PrivateResolvConf&) = delete;
  PrivateResolvConf& operator=(const PrivateResolvConf&) = delete;
  void write(const std::string& text) {
    EXPECT_EQ(::ftruncate(fd_.get(), 0), 0);
    EXPECT_EQ(::pwrite(fd_.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  bool ok = false;

 private:
  std::string path_ = "/tmp/resolv.conf.XXXXXX";
  UniqueFd fd_;
};

// Another network has other names and servers: the answers of the old servers are dropped, and so is the
// preference for one of them.
TEST_F(DnsForwarding, OtherServersBeginAnew) {
  bool may = false;
  std::thread([&] {
    PrivateResolvConf file("nameserver 127.0.0.9\nnameserver 127.0.0.1\n");
    may = file.ok;
    if (!may) return;
    nat.reset();
    start({});
    NameServer first(kFirst);
    NameServer second(kSecond);
    ask(dns_message({.id = 7}));
    EXPECT_EQ(got(), "");  // 127.0.0.9 refuses
    DnsSpec reply = dns_answer(3000);
    reply.id = id_of(first.take());
    first.answer(dns_message(reply));
    EXPECT_NE(got(), "");
    ask(dns_message({.id = 8}));
    EXPECT_NE(got(), "");
    EXPECT_EQ(nat->counters().dns_cached, 1U);
    file.write("nameserver 127.0.0.2\nnameserver 127.0.0.1\n");
    pass_seconds(60);
    ask(dns_message({.id = 9}));
    EXPECT_EQ(got(), "");
    EXPECT_NE(second.take(), "");
    EXPECT_EQ(first.take(), "");
    EXPECT_EQ(nat->counters().dns_cached, 1U);
  }).join();
  if (!may) GTEST_SKIP() << "no right to mount over /etc/resolv.conf here";
}

TEST_F(DnsForwarding, ServerThatCannotIsLeftForAnother) {
  NameServer first(kFirst);
  NameServer second(kSecond);
  ask(dns_message({.id = 7}));
  DnsSpec reply{.id = id_of(first.take()), .flags = kDnsResponse | 2};
  first.answer(dns_message(reply));
  EXPECT_EQ(got(), "");
  reply.id = id_of(second.take());
  reply.flags = kDnsResponse | 5;
  second.answer(dns_message(reply));  // no server is left: the guest gets this answer
  const std::string refused = got();
  ASSERT_FALSE(refused.empty());
  EXPECT_EQ(refused[3] & 15, 5);
  ask(dns_message({.id = 8}));  // and it is not kept
  EXPECT_NE(first.take(), "");
}

TEST_F(DnsForwarding, RepetitionByTheGuestChangesNothing) {
  NameServer first(kFirst);
  ask(dns_message({.id = 7}));
  ask(dns_message({.id = 7}));
  EXPECT_NE(first.take(), "");
  EXPECT_EQ(first.take(), "");
  ask(dns_message({.id = 8}));
  ask(dns_message({.id = 7}), 40001);
  EXPECT_NE(first.take(), "");
  EXPECT_NE(first.take(), "");
}

TEST_F(DnsForwarding, OpenQuestionHoldsUpNobodyElse) {
  NameServer silent(kFirst);
  NameServer second(kSecond);
  ask(dns_message({.id = 7}));
  ASSERT_NE(silent.take(), "");
  const auto arp = build_arp(kGatewayIp);  // any frame that the NAT answers
  const iovec piece{const_cast<std::uint8_t*>(arp.data()), arp.size()};
  nat->on_guest_frame(std::span(&piece, 1), {}, 0);
  loop.turn();
  ASSERT_EQ(port.published.size(), 1U);
  port.published.clear();
  ask(dns_message({.id = 8, .name = "other.example.com"}));  // nor another question
  const std::string asked = silent.take();
  DnsSpec reply = dns_answer(300);
  reply.name = "other.example.com";
  reply.id = id_of(asked);
  silent.answer(dns_message(reply));
  EXPECT_EQ(id_of(got()), 8);
}

TEST_F(DnsForwarding, TruncatedAnswersGoOnAndAreNotKept) {
  NameServer first(kFirst);
  for (std::uint16_t id = 1; id <= 2; ++id) {
    ask(dns_message({.id = id}));
    DnsSpec reply{.id = id_of(first.take()), .flags = kDnsResponse | kDnsTruncated};
    first.answer(dns_message(reply));
    reply.id = id;
    EXPECT_EQ(got(), dns_message(reply));
  }
}

TEST_F(DnsForwarding, AnswerBeyondTheMtuIsTruncated) {
  NameServer first(kFirst);
  ask(dns_message({.id = 7, .additional = dns_opt(4096), .additionals = 1}));
  DnsSpec reply = dns_answer(300);
  reply.id = id_of(first.take());
  reply.answer = dns_record(kToQuestion, kTypeA, 300, std::string(1500, 'x'));
  first.answer(dns_message(reply));
  reply.id = 7;
  reply.flags |= kDnsTruncated;
  reply.answer.clear();
  reply.answers = 0;
  EXPECT_EQ(got(), dns_message(reply));
}

TEST_F(DnsForwarding, WhatIsNoQueryIsAnsweredByItsKindOfError) {
  ask(dns_message({.id = 7, .flags = 0x2800}));  // an update
  std::string error = got();
  ASSERT_EQ(error.size(), kDnsHeader);
  EXPECT_EQ(error[3] & 15, 4);
  std::string two = dns_message({.id = 7});
  two[5] = 2;  // questions
  ask(two);
  error = got();
  ASSERT_EQ(error.size(), kDnsHeader);
  EXPECT_EQ(error[3] & 15, 1);
  ask(dns_message({.id = 7, .flags = kDnsResponse}));
  ask("short");
  ask(dns_message({.name = std::string(60, 'x')}) + std::string(600, 'y'));
  EXPECT_EQ(got(), "");
  EXPECT_EQ(nat->counters()[DropReason::kBadDns], 5U);
}

TEST_F(DnsForwarding, OpenQuestionsAreBounded) {
  NameServer first(kFirst);
  for (int i = 0; i < 300; ++i) {
    ask(dns_message({.id = static_cast<std::uint16_t>(i)}));
    first.take();
  }
  EXPECT_EQ(nat->counters().dns_forwarded, 256U);
  EXPECT_EQ(nat->counters()[RefuseReason::kTableFull], 44U);
  EXPECT_EQ(got()[3] & 15, 2);
}

TEST_F(DnsForwarding, DeniedNameServerIsProhibited) {
  NatConfig config;
  config.dns = {kFirst};
  config.deny.push_back(Cidr::v4(kDnsIp, 32));
  nat = std::move(*Nat::create(config, loop, port));
  NameServer first(kFirst);
  ask(dns_message({}));
  loop.turn();
  ASSERT_FALSE(port.published.empty());
  EXPECT_EQ(take_apart(port.published.front()).payload.substr(0, 2), std::string("\3\xd"));
  EXPECT_EQ(first.take(), "");
}

}  // namespace
}  // namespace glassbox::net
