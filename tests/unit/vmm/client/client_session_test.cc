// The host's client against a guest that does not keep to the protocol.
#include "vmm/client/session.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "guest/framing.h"
#include "tests/unit/vmm/base/temp_dir.h"
#include "vmm/client/ready_listener.h"

namespace glassbox::client {
namespace {

using protocol::MessageType;

class ClientSession : public testing::Test {
 protected:
  // What run_command() makes of a guest that answers kExecStart with these bytes and hangs up.
  CommandEnd outcome_of(const std::string& bytes) {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    UniqueFd host(fds[0]);
    std::thread guest([&, fd = UniqueFd(fds[1])] {
      const auto start = protocol::receive_message(fd.get());
      ASSERT_TRUE(start);
      request_ = start->payload;
      EXPECT_EQ(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(bytes.size()));
    });
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    auto signals = SignalWatch::create();
    auto outcome =
        run_command(std::move(host), {.argv = {"a", "b"}, .env = {"X=1"}, .cwd = "/tmp", .tty = false},
                    {null.get(), null.get(), null.get()}, *signals);
    guest.join();
    EXPECT_TRUE(outcome);
    return outcome.value_or(CommandEnd{});
  }
  std::string request_;
};

std::string message(MessageType type, std::string_view payload) {
  std::string bytes;
  protocol::append_message(bytes, type, payload);
  return bytes;
}

TEST_F(ClientSession, AsksForTheCommandAsGiven) {
  const CommandEnd outcome = outcome_of(message(MessageType::kExited, protocol::as_payload(std::int32_t{5})));
  EXPECT_EQ(outcome.kind, CommandEnd::Kind::kExited);
  EXPECT_EQ(outcome.status, 5);
  const auto request = nlohmann::json::parse(request_);
  EXPECT_EQ(request["argv"], (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(request["env"], (std::vector<std::string>{"X=1"}));
  EXPECT_EQ(request["cwd"], "/tmp");
  EXPECT_EQ(request["tty"], false);
}

TEST_F(ClientSession, HangUpWithoutAStatusIsALoss) {
  EXPECT_EQ(outcome_of(message(MessageType::kStdout, "half")).kind, CommandEnd::Kind::kLost);
}

TEST_F(ClientSession, RubbishIsALoss) {
  EXPECT_EQ(outcome_of(message(MessageType::kTraceEvents, "x")).kind, CommandEnd::Kind::kLost);
  EXPECT_EQ(outcome_of(message(MessageType::kExited, "xy")).kind, CommandEnd::Kind::kLost);
  EXPECT_EQ(outcome_of(message(MessageType::kStdinAck, "x")).kind, CommandEnd::Kind::kLost);
  EXPECT_EQ(outcome_of(message(MessageType::kExecFailed, "x")).kind, CommandEnd::Kind::kLost);
  EXPECT_EQ(outcome_of(std::string("\x10\0\0\0\xff\xff\xff\xff", 8)).kind, CommandEnd::Kind::kLost);
}

TEST_F(ClientSession, AcknowledgingMoreThanWasSentDoesNoHarm) {
  const std::string bytes = message(MessageType::kStdinAck, protocol::as_payload(std::uint32_t{0xffffffff})) +
                            message(MessageType::kExited, protocol::as_payload(std::int32_t{0}));
  EXPECT_EQ(outcome_of(bytes).kind, CommandEnd::Kind::kExited);
}

TEST_F(ClientSession, FailureTextHasNoControlCharacters) {
  const std::string payload = std::string(protocol::as_payload(std::uint32_t{EACCES})) + "\x1b[2Jfile\n";
  const CommandEnd outcome = outcome_of(message(MessageType::kExecFailed, payload));
  EXPECT_EQ(outcome.kind, CommandEnd::Kind::kCannotRun);
  EXPECT_EQ(outcome.status, 126);
  EXPECT_EQ(outcome.message, "?[2Jfile?");
}

class Ready : public testing::Test {
 protected:
  // A guest that says this to the listener and hangs up.
  void say(const std::string& text) {
    const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = vsock() + "_1026";
    std::copy(path.begin(), path.end(), address.sun_path);
    ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  std::string vsock() const { return (dir_.path() / "vsock.sock").string(); }
  test::TempDir dir_;
};

TEST_F(Ready, TheLineAndNothingElse) {
  auto listener = ReadyListener::create(vsock());
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_FALSE(listener->take());
  say("glassbox-agent 1 rea");
  EXPECT_FALSE(listener->take());
  EXPECT_FALSE(listener->take());
  say(std::string(1000, 'x') + "\n");
  EXPECT_FALSE(listener->take());
  say("glassbox-agent 1 ready\n");
  while (!listener->take()) {
  }
}

TEST_F(Ready, SocketFileGoesWithTheListener) {
  {
    auto listener = ReadyListener::create(vsock());
    ASSERT_TRUE(listener);
    EXPECT_TRUE(std::filesystem::exists(vsock() + "_1026"));
  }
  EXPECT_FALSE(std::filesystem::exists(vsock() + "_1026"));
}

}  // namespace
}  // namespace glassbox::client
