// The host's client against a guest that does not keep to the protocol.
#include "vmm/client/session.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <thread>

#include "guest/framing.h"
#include "tests/unit/vmm/base/temp_dir.h"
#include "vmm/base/io.h"
#include "vmm/client/console_keys.h"
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
      for (auto message = protocol::receive_message(fd.get()); message;
           message = protocol::receive_message(fd.get())) {
        if (message->type == MessageType::kExecArguments) arguments_ += message->payload;
        if (message->type == MessageType::kExecEnvironment) environment_ += message->payload;
        if (message->type != MessageType::kExecStart) continue;
        request_ = message->payload;
        break;
      }
      EXPECT_EQ(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(bytes.size()));
    });
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    auto signals = SignalWatch::create();
    auto outcome = run_command(std::move(host), command_,
                               {null.get(), out_ >= 0 ? out_ : null.get(), null.get()}, *signals);
    guest.join();
    EXPECT_TRUE(outcome);
    return outcome.value_or(CommandEnd{});
  }
  CommandSpec command_{.argv = {"a", "b"}, .env = {"X=1"}, .cwd = "/tmp", .tty = false};
  int out_ = -1;  // stdout; /dev/null unless set
  std::string request_;
  std::string arguments_;
  std::string environment_;
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
  EXPECT_EQ(arguments_, std::string("a\0b\0", 4));
  EXPECT_EQ(environment_, std::string("X=1\0", 4));
  EXPECT_EQ(request["cwd"], "/tmp");
  EXPECT_EQ(request["tty"], false);
}

TEST_F(ClientSession, ACommandOfAnySizeAndBytesIsSentUnchanged) {
  const std::string odd = "\xff\xfe\"\\ \n\x01";
  command_.argv = {"printf", odd, std::string(1 << 20, 'x')};
  (void)outcome_of(message(MessageType::kExited, protocol::as_payload(std::int32_t{0})));
  EXPECT_EQ(arguments_, "printf" + std::string(1, '\0') + odd + std::string(1, '\0') +
                            std::string(1 << 20, 'x') + std::string(1, '\0'));
}

TEST_F(ClientSession, OutputThatCannotBeWrittenIsAFailureButTheCommandEnds) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  const UniqueFd closed(
      ::open("/dev/null", O_RDONLY | O_CLOEXEC));  // as hold_standard_descriptors() makes it
  for (const int fd : {full.get(), closed.get()}) {
    out_ = fd;
    const CommandEnd outcome = outcome_of(
        message(MessageType::kStdout, std::string(20'000, 'x')) + message(MessageType::kStdout, "more") +
        message(MessageType::kExited, protocol::as_payload(std::int32_t{3})));
    EXPECT_EQ(outcome.kind, CommandEnd::Kind::kExited);
    EXPECT_EQ(outcome.status, 3);
    EXPECT_NE(outcome.message.find("cannot write the command's output"), std::string::npos)
        << outcome.message;
  }
}

// A guest that reads nothing and says nothing: no answer will come.
class DeadGuest : public testing::Test {
 protected:
  CommandEnd outcome_after(int signal, int patience_ms) {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    const UniqueFd guest(fds[1]);
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    auto signals = SignalWatch::create();
    ::raise(signal);  // pending before the first poll
    auto outcome =
        run_command(UniqueFd(fds[0]), {.argv = {"a"}, .env = {}, .tty = false, .patience_ms = patience_ms},
                    {null.get(), null.get(), null.get()}, *signals);
    EXPECT_TRUE(outcome);
    return outcome.value_or(CommandEnd{});
  }
};

TEST_F(DeadGuest, OneSignalIsEnoughToLeaveIt) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    const CommandEnd outcome = outcome_after(signal, 1);
    EXPECT_EQ(outcome.kind, CommandEnd::Kind::kInterrupted);
    EXPECT_EQ(outcome.status, 128 + signal);
    EXPECT_NE(outcome.message.find("has not ended"), std::string::npos) << outcome.message;
  }
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

TEST_F(Ready, AFailureOfTheGuestIsToldWithoutEscapes) {
  auto listener = ReadyListener::create(vsock());
  ASSERT_TRUE(listener);
  say("glassbox-agent 1 failed: \x1b]0;x\x07 raise --memory\n");
  while (!listener->take()) {
  }
  EXPECT_EQ(listener->failure(), "?]0;x? raise --memory");
  say("glassbox-agent 1 failed: " + std::string(1000, 'x'));
  EXPECT_FALSE(listener->take());
  EXPECT_FALSE(listener->take());
}

class Keys : public testing::Test {
 protected:
  void SetUp() override {
    master_.reset(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    int unlock = 0;
    ASSERT_EQ(::ioctl(master_.get(), TIOCSPTLCK, &unlock), 0);
    terminal_.reset(::ioctl(master_.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(terminal_);
  }
  UniqueFd master_;
  UniqueFd terminal_;
};

TEST_F(Keys, AllGoToTheGuestButTheEscapeKeyAndTheTerminalIsRawMeanwhile) {
  termios before{}, during{}, after{};
  ASSERT_EQ(::tcgetattr(terminal_.get(), &before), 0);
  {
    auto keys = ConsoleKeys::create(terminal_.get());
    ASSERT_TRUE(keys) << keys.error().message;
    ASSERT_EQ(::tcgetattr(terminal_.get(), &during), 0);
    ASSERT_TRUE(write_all(master_.get(), "ls\r\x03\x1a"));
    EXPECT_TRUE(keys->pass_on());
    std::array<char, 16> got{};
    EXPECT_EQ(::read(keys->console_end(), got.data(), got.size()), 5);
    EXPECT_STREQ(got.data(), "ls\r\x03\x1a");
    ASSERT_TRUE(write_all(master_.get(), "x\x1dy"));
    EXPECT_FALSE(keys->pass_on());
  }
  EXPECT_EQ(during.c_lflag & (ICANON | ECHO | ISIG), 0U);
  ASSERT_EQ(::tcgetattr(terminal_.get(), &after), 0);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
}

// The pipe is full for ever: keys are dropped, and the escape key still works.
TEST_F(Keys, AGuestThatReadsNothingDoesNotHoldTheUser) {
  auto keys = ConsoleKeys::create(terminal_.get());
  ASSERT_TRUE(keys);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(write_all(master_.get(), std::string(100, 'x')));
    ASSERT_TRUE(keys->pass_on());
  }
  ASSERT_TRUE(write_all(master_.get(), "\x1d"));
  EXPECT_FALSE(keys->pass_on());
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
