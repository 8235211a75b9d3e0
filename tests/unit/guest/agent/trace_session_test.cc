// A trace session with a source of known events and a file in place of the clock device's page.
#include "guest/agent/trace_session.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <map>

#include "bpf/event_args.h"
#include "guest/framing.h"
#include "tests/unit/vmm/base/temp_dir.h"

namespace glassbox::agent {
namespace {

using protocol::MessageType;

// Delivers `count` events at the first consume() and `late` more after stop().
class KnownEvents : public EventSource {
 public:
  KnownEvents(std::size_t count, std::size_t late) : count_(count), late_(late) {}
  Result<std::vector<std::string>> open() override { return std::vector<std::string>{"hook_a kprobe"}; }
  void consume(const std::function<void(const gb_event&)>& take) override {
    const std::size_t n = std::exchange(count_, 0) + (stopped_ ? std::exchange(late_, 0) : 0);
    for (std::size_t i = 0; i < n; ++i) {
      gb_event event{};
      event.kind = GB_KIND_guest_connect_begin;
      event.seq = seq_++;
      take(event);
    }
  }
  void stop() override { stopped_ = true; }
  bpf::GuestDrops drops() override {
    return {.totals = {.ring_full = 3,
                       .buffer_full = 0,
                       .recursion_misses = 0,
                       .kprobe_misses = 0,
                       .own_events = 9},
            .shares = {{"ring_full", "131", 3}}};
  }

 private:
  std::size_t count_;
  std::size_t late_;
  std::uint64_t seq_ = 0;
  bool stopped_ = false;
};

class Trace : public testing::Test {
 protected:
  void SetUp() override {
    (void)dir_.write("0000:00:01.0/vendor", "0x8086\n");
    (void)dir_.write("0000:00:01.0/device", "0x1234\n");
    (void)dir_.write("0000:00:05.0/vendor", "0x676c\n");
    (void)dir_.write("0000:00:05.0/device", "0x6762\n");
    (void)dir_.write("0000:00:05.0/resource0", std::string("\x2a\0\0\0", 4) + std::string(4092, '\0'));
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    collector_ = UniqueFd(fds[0]);
    agent_end_ = UniqueFd(fds[1]);
  }

  TraceEnvironment environment(std::size_t events, std::size_t late, std::size_t buffer = 0) {
    return {.make_source = [=] { return std::make_unique<KnownEvents>(events, late); },
            .open_clock = [this] { return ClockDevice::open(dir_.path()); },
            .buffer_events = buffer};
  }

  protocol::Message receive() const {
    auto message = protocol::receive_message(collector_.get());
    EXPECT_TRUE(message);
    return message.value_or(protocol::Message{MessageType::kTraceError, "no message"});
  }

  // Receives everything after kTraceReady up to kTraceEnd.
  void collect() {
    for (;;) {
      const protocol::Message message = receive();
      if (message.type == MessageType::kTraceEvents) {
        ASSERT_EQ(message.payload.size() % sizeof(gb_event), 0U);
        for (std::size_t at = 0; at < message.payload.size(); at += sizeof(gb_event)) {
          events_.push_back(*protocol::from_payload<gb_event>(
              std::string_view(message.payload).substr(at, sizeof(gb_event))));
        }
      } else if (message.type == MessageType::kTraceShares) {
        shares_ = message.payload;
      } else if (message.type == MessageType::kTraceDrops) {
        drops_ = *protocol::from_payload<protocol::TraceDrops>(message.payload);
      } else {
        ASSERT_EQ(message.type, MessageType::kTraceEnd) << message.payload;
        return;
      }
    }
  }

  void start(TraceSessions& sessions, std::uint32_t interval_us = 1000) {
    sessions.start(std::move(agent_end_));
    const protocol::TraceStart request{protocol::kVersion, interval_us};
    ASSERT_TRUE(
        protocol::send_message(collector_.get(), MessageType::kTraceStart, protocol::as_payload(request)));
  }
  void stop() { ASSERT_TRUE(protocol::send_message(collector_.get(), MessageType::kTraceStop, {})); }

  std::size_t count(std::uint16_t kind) const {
    return static_cast<std::size_t>(
        std::count_if(events_.begin(), events_.end(), [&](const gb_event& e) { return e.kind == kind; }));
  }

  test::TempDir dir_;
  UniqueFd collector_;
  UniqueFd agent_end_;
  std::vector<gb_event> events_;
  protocol::TraceDrops drops_;
  std::string shares_;
};

TEST_F(Trace, EventsAreSentAfterTheStop) {
  TraceSessions sessions(environment(1000, 5));
  start(sessions);
  const protocol::Message ready = receive();
  EXPECT_EQ(ready.type, MessageType::kTraceReady);
  EXPECT_EQ(ready.payload, "clock_exchange mmio\nhook_a kprobe\n");
  stop();
  collect();
  EXPECT_EQ(count(GB_KIND_guest_connect_begin), 1005U);
  EXPECT_EQ(drops_.ring_full, 3U);
  EXPECT_EQ(drops_.buffer_full, 0U);
  EXPECT_EQ(drops_.own_events, 9U);
  EXPECT_EQ(shares_, "ring_full 131 3\n");
}

TEST_F(Trace, ExchangesAreOrderedNumberedAndOnEveryCpu) {
  TraceSessions sessions(environment(0, 0));
  start(sessions);
  (void)receive();
  stop();
  collect();
  std::map<std::uint16_t, std::uint64_t> next;
  for (const gb_event& event : events_) {
    ASSERT_EQ(event.kind, GB_KIND_guest_clock);
    EXPECT_EQ(event.version, GB_EVENT_VERSION);
    const auto& exchange = args::guest_clock(event);
    EXPECT_EQ(exchange.exchange, 42U);  // the number in the page
    EXPECT_EQ(event.ts_ns, exchange.before_ns);
    EXPECT_LE(exchange.before_ns, exchange.after_ns);
    EXPECT_EQ(event.cpu, kClockCpuBit | exchange.vcpu);
    EXPECT_EQ(event.seq, next[event.cpu]++);
  }
  EXPECT_EQ(next.size(), static_cast<std::size_t>(::sysconf(_SC_NPROCESSORS_ONLN)));
  for (const auto& [cpu, number] : next)
    EXPECT_GE(number, 128U) << cpu;  // two bursts of 64
}

TEST_F(Trace, EventsThatDoNotFitAreCounted) {
  TraceSessions sessions(environment(1'000'000, 0, 4096));
  start(sessions);
  (void)receive();
  stop();
  collect();
  EXPECT_GT(drops_.buffer_full, 1'000'000U - 4096U - 1U);
  const std::string share = fmt::format("buffer_full {} ", static_cast<int>(GB_KIND_guest_connect_begin));
  EXPECT_NE(shares_.find(share), std::string::npos) << shares_;
  EXPECT_GT(count(GB_KIND_guest_connect_begin), 1000U);
}

TEST_F(Trace, MissingClockDeviceIsReported) {
  std::filesystem::remove_all(dir_.path() / "0000:00:05.0");
  TraceSessions sessions(environment(7, 0));
  start(sessions);
  EXPECT_TRUE(receive().payload.starts_with("clock_exchange missing "));
  stop();
  collect();
  EXPECT_EQ(events_.size(), 7U);
}

TEST_F(Trace, SecondSessionIsRefusedUntilTheFirstHasEnded) {
  TraceSessions sessions(environment(1, 0));
  start(sessions);
  (void)receive();
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  const UniqueFd second(fds[0]);
  sessions.start(UniqueFd(fds[1]));
  const auto refusal = protocol::receive_message(second.get());
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->type, MessageType::kTraceError);
  stop();
  collect();
  EXPECT_FALSE(protocol::receive_message(collector_.get()));  // the first session has ended

  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  collector_ = UniqueFd(fds[0]);
  agent_end_ = UniqueFd(fds[1]);
  start(sessions);
  EXPECT_EQ(receive().type, MessageType::kTraceReady);
  collector_.reset();  // a collector that goes away must not block the next one
}

TEST_F(Trace, AnotherVersionIsRefused) {
  TraceSessions sessions(environment(0, 0));
  sessions.start(std::move(agent_end_));
  const protocol::TraceStart request{protocol::kVersion + 1, 1000};
  ASSERT_TRUE(
      protocol::send_message(collector_.get(), MessageType::kTraceStart, protocol::as_payload(request)));
  EXPECT_EQ(receive().type, MessageType::kTraceError);
}

}  // namespace
}  // namespace glassbox::agent
