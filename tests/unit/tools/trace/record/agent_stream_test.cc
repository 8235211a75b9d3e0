#include "tools/trace/record/agent_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "guest/framing.h"
#include "tests/unit/tools/trace/synthetic.h"

namespace glassbox::trace {
namespace {

using protocol::MessageType;
using ::testing::HasSubstr;

// The monitor's vsock socket, and a guest behind it that sends what the test wants.
class FakeGuest {
 public:
  FakeGuest()
      : directory_(std::filesystem::temp_directory_path() / fmt::format("gb-vsock-{}", ::getpid())),
        path_(directory_ / "vsock.sock") {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);
  }
  ~FakeGuest() { std::filesystem::remove_all(directory_); }

  // Accepts, reads CONNECT and kTraceStart, answers with `bytes` and hangs up.
  void serve(std::string bytes) {
    thread_ = std::jthread([this, bytes = std::move(bytes)] {
      const UniqueFd peer(::accept(listener_.get(), nullptr, nullptr));
      std::string line;
      for (char c = 0; c != '\n' && ::read(peer.get(), &c, 1) == 1;)
        line += c;
      EXPECT_EQ(line, "CONNECT 1025\n");
      EXPECT_EQ(::send(peer.get(), "OK 1\n", 5, MSG_NOSIGNAL), 5);
      const auto start = protocol::receive_message(peer.get());
      EXPECT_TRUE(start && start->type == MessageType::kTraceStart);
      for (std::string_view rest = bytes; !rest.empty();) {
        const ssize_t n = ::send(peer.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (n <= 0) break;
        rest.remove_prefix(static_cast<std::size_t>(n));
      }
      ::shutdown(peer.get(), SHUT_WR);
      char byte = 0;
      while (::read(peer.get(), &byte, 1) > 0) {  // until the collector hangs up
      }
    });
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path directory_, path_;
  UniqueFd listener_;
  std::jthread thread_;
};

struct Received {
  std::vector<gb_event> events;
  std::vector<std::string> hooks;
  DropCounters drops;
  bool ready = false, ended = false;
  std::string error;
};

// What the stream yields for these bytes from the guest. `asked`: stop() was called before they arrive.
Received run(const std::string& bytes, bool asked = true) {
  FakeGuest guest;
  guest.serve(bytes);
  Received out;
  auto connection = AgentStream::connect(guest.path());
  if (!connection) {
    out.error = connection.error().message;
    return out;
  }
  auto stream = AgentStream::start(std::move(*connection));
  EXPECT_TRUE(stream);
  EXPECT_TRUE(!asked || stream->stop());
  Status status;
  while (status && !stream->ended()) {
    pollfd fd{stream->fd(), POLLIN, 0};
    ::poll(&fd, 1, -1);
    status = stream->read([&out](const gb_event& e) {
      out.events.push_back(e);
      return Status{};
    });
  }
  if (!status) out.error = status.error().message;
  out.hooks = stream->hooks();
  out.drops = stream->drops();
  out.ready = stream->ready();
  out.ended = stream->ended();
  return out;
}

std::string message(MessageType type, std::string_view payload) {
  std::string out;
  protocol::append_message(out, type, payload);
  return out;
}

std::string events_message(std::size_t count) {
  std::vector<gb_event> events(count);
  for (std::size_t k = 0; k < count; ++k)
    events[k].seq = k;
  return message(MessageType::kTraceEvents,
                 {reinterpret_cast<const char*>(events.data()), events.size() * sizeof(gb_event)});
}

TEST(AgentStream, TakesAWholeSession) {
  protocol::TraceDrops drops;
  drops.ring_full = 4, drops.own_events = 5;
  const Received out = run(
      message(MessageType::kTraceReady, "kernel_clone kprobe\nsched_exec tp_btf\n") + events_message(300) +
      events_message(2) + message(MessageType::kTraceShares, "ring_full 138 3\nring_full map_errors 1\n") +
      message(MessageType::kTraceDrops, protocol::as_payload(drops)) + message(MessageType::kTraceEnd, {}));
  EXPECT_EQ(out.error, "");
  EXPECT_TRUE(out.ready && out.ended);
  EXPECT_EQ(out.events.size(), 302U);
  EXPECT_EQ(out.events[299].seq, 299U);
  EXPECT_EQ(out.hooks, (std::vector<std::string>{"kernel_clone kprobe", "sched_exec tp_btf"}));
  EXPECT_EQ(out.drops.at("ring_full"), 4U);
  EXPECT_EQ(out.drops.at("ring_full:guest_xmit"), 3U);
  EXPECT_EQ(out.drops.at("ring_full:map_errors"), 1U);
}

// A hostile agent that says "end" by itself must not keep a collector that only waits for its own time to
// end.
TEST(AgentStream, AnEndThatWasNotAskedForEndsTheSessionAsAnError) {
  const Received out = run(message(MessageType::kTraceReady, "x kprobe\n") + events_message(3) +
                               message(MessageType::kTraceEnd, {}) + std::string(1U << 20, 'A'),
                           false);
  EXPECT_FALSE(out.ended);
  EXPECT_EQ(out.events.size(), 3U);
  EXPECT_THAT(out.error, HasSubstr("without being asked"));
}

TEST(AgentStream, NothingIsReadOrPolledAfterTheEnd) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd agent(pair[1]);
  auto stream = AgentStream::start(UniqueFd(pair[0]));
  ASSERT_TRUE(stream && stream->stop());
  const std::string end = message(MessageType::kTraceEnd, {});
  ASSERT_EQ(::write(agent.get(), end.data(), end.size()), static_cast<ssize_t>(end.size()));
  const auto ignore = [](const gb_event&) { return Status{}; };
  ASSERT_TRUE(stream->read(ignore));
  EXPECT_TRUE(stream->ended());
  EXPECT_EQ(stream->fd(), -1);  // poll() passes it over: neither more bytes nor the hang-up wakes anything
  ASSERT_EQ(::write(agent.get(), "junk", 4), 4);
  ASSERT_TRUE(stream->read(ignore));
  int unread = 0;
  ASSERT_EQ(::ioctl(pair[0], FIONREAD, &unread), 0);
  EXPECT_EQ(unread, 4);
}

TEST(AgentStream, AnAgentThatHangsUpIsAnError) {
  const Received out = run(message(MessageType::kTraceReady, "x kprobe\n") + events_message(3));
  EXPECT_EQ(out.events.size(), 3U);
  EXPECT_THAT(out.error, HasSubstr("hung up"));
}

TEST(AgentStream, TheAgentsOwnErrorIsPassedOnPrintable) {
  const Received out = run(message(MessageType::kTraceError, "no\x1b[31mBTF\n"));
  EXPECT_EQ(out.error, "the guest's agent cannot trace: no?[31mBTF?");
}

// The agent serves another collector: it says so and hangs up before it receives anything.
TEST(AgentStream, ABusyAgentsMessageIsReadThoughItHasHungUp) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  {
    const UniqueFd agent(pair[1]);
    ASSERT_TRUE(protocol::send_message(agent.get(), MessageType::kTraceError, protocol::kTraceBusy));
  }
  auto stream = AgentStream::start(UniqueFd(pair[0]));
  ASSERT_TRUE(stream) << stream.error().message;
  EXPECT_FALSE(stream->read([](const gb_event&) { return Status{}; }));
  EXPECT_TRUE(stream->busy());
}

TEST(AgentStream, BrokenProtocolEndsTheSession) {
  const std::string ready = message(MessageType::kTraceReady, "x kprobe\n");
  std::string huge = message(MessageType::kTraceEvents, "");
  huge[4] = huge[5] = huge[6] = huge[7] = '\xff';  // length
  for (const std::string& bytes :
       {message(MessageType::kStdout, "hello"), message(static_cast<MessageType>(99), ""),
        message(MessageType::kTraceEvents, std::string(130, 'x')), message(MessageType::kTraceEvents, ""),
        message(MessageType::kTraceDrops, "short"), message(MessageType::kTraceShares, "ring_full 138 3"),
        message(MessageType::kTraceShares, "ring_full 138\n"),
        message(MessageType::kTraceShares, "ring_full 9 1\n"),  // an event of the host
        message(MessageType::kTraceShares, "ring_full 250 1\n"),
        message(MessageType::kTraceShares, "own_events 138 1\n"),
        message(MessageType::kTraceShares, "kprobe_misses \x1b[31m 1\n"),
        message(MessageType::kTraceShares, "kprobe_misses x -1\n"), huge, std::string("\x01\x02")}) {
    const Received out = run(ready + bytes);
    EXPECT_FALSE(out.ended);
    EXPECT_NE(out.error, "");
    EXPECT_EQ(out.error.find('\n'), std::string::npos);
  }
  EXPECT_NE(run(ready + ready).error, "");
}

TEST(AgentStream, HookTextIsBounded) {
  std::string text;
  for (int k = 0; k < 2000; ++k)
    text += "h" + std::to_string(k) + "\n";
  text += std::string(5000, 'x');
  const Received out = run(message(MessageType::kTraceReady, text) + message(MessageType::kTraceEnd, {}));
  EXPECT_LE(out.hooks.size(), 256U);
  EXPECT_LE(
      run(message(MessageType::kTraceReady, std::string(5000, 'x')) + message(MessageType::kTraceEnd, {}))
          .hooks.front()
          .size(),
      200U);
}

TEST(AgentStream, NoAgentIsAnErrorOfOneLine) {
  const auto connection = AgentStream::connect("/nonexistent/vsock.sock");
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().message.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace glassbox::trace
