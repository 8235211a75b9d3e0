// The agent's command server and the host's client, connected by a UNIX socket in one process.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <thread>

#include "guest/agent/server.h"
#include "vmm/base/io.h"
#include "vmm/base/socket_address.h"
#include "vmm/client/session.h"

namespace glassbox {
namespace {

using client::CommandEnd;

Pipe new_pipe() {
  Result<Pipe> pipe = make_pipe();
  EXPECT_TRUE(pipe);
  return pipe ? std::move(*pipe) : Pipe{};
}

std::string read_all(int fd) {
  std::string all;
  std::array<char, 65536> bytes;
  for (ssize_t n = 0; (n = ::read(fd, bytes.data(), bytes.size())) > 0;) {
    all.append(bytes.data(), static_cast<std::size_t>(n));
  }
  return all;
}

// Runs a server on a thread, on an abstract UNIX socket.
class AgentSession : public testing::Test {
 protected:
  void SetUp() override {
    ::signal(SIGPIPE, SIG_IGN);
    auto watch = client::SignalWatch::create();
    ASSERT_TRUE(watch);
    signals_.emplace(std::move(*watch));  // before the thread starts, which inherits the signal mask
    UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address_.sun_family = AF_UNIX;
    const std::string name = "glassbox-agent-test-" + std::to_string(::getpid());
    std::copy(name.begin(), name.end(), address_.sun_path + 1);
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address_), sizeof(address_)), 0);
    ASSERT_EQ(::listen(listener.get(), 16), 0);
    stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
    server_ = std::thread([this, l = std::move(listener)]() mutable {
      agent::Server server({.exec_listener = std::move(l),
                            .trace_listener = UniqueFd(),
                            .signal_fd = UniqueFd(),
                            .stop_fd = UniqueFd(::dup(stop_.get()))},
                           {.trace_connection = {},
                            .power_off =
                                [this] {
                                  powered_off_ = true;
                                  ::eventfd_write(stop_.get(), 1);
                                },
                            .signal = {}});
      EXPECT_TRUE(server.run());
    });
  }
  void TearDown() override {
    ::eventfd_write(stop_.get(), 1);
    if (server_.joinable()) server_.join();
  }

  UniqueFd connect() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)), 0);
    return fd;
  }

  struct CommandResult {
    CommandEnd outcome;
    std::string out;
    std::string err;
  };

  // Runs the command to its end with `input` and then end of file on stdin.
  CommandResult run(std::vector<std::string> argv, std::string input = {}, bool tty = false) {
    Pipe in = new_pipe(), out = new_pipe(), err = new_pipe();
    CommandResult result;
    std::thread feeder([&] {
      (void)write_all(in.write.get(), input);
      in.write.reset();
    });
    std::thread out_reader([&] { result.out = read_all(out.read.get()); });
    std::thread err_reader([&] { result.err = read_all(err.read.get()); });
    auto outcome =
        client::run_command(connect(), {.argv = std::move(argv), .env = {}, .cwd = "/", .tty = tty},
                            {in.read.get(), out.write.get(), err.write.get()}, *signals_);
    EXPECT_TRUE(outcome);
    if (outcome) result.outcome = *outcome;
    in.read.reset();
    out.write.reset();
    err.write.reset();
    feeder.join();
    out_reader.join();
    err_reader.join();
    return result;
  }

  CommandResult shell(const std::string& script, std::string input = {}) {
    return run({"sh", "-c", script}, std::move(input));
  }

  std::optional<client::SignalWatch> signals_;
  sockaddr_un address_{};
  UniqueFd stop_;
  std::thread server_;
  std::atomic<bool> powered_off_{false};
};

TEST_F(AgentSession, OutputAndStatusComeBack) {
  const CommandResult result = shell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(result.outcome.kind, CommandEnd::Kind::kExited);
  EXPECT_EQ(result.outcome.status, 7);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
}

TEST_F(AgentSession, DeathBySignalIs128PlusN) {
  EXPECT_EQ(shell("kill -SEGV $$").outcome.status, 128 + SIGSEGV);
}

TEST_F(AgentSession, MissingCommandIs127AndUnrunnableIs126) {
  const CommandResult missing = run({"no-such-command-of-glassbox"});
  EXPECT_EQ(missing.outcome.kind, CommandEnd::Kind::kCannotRun);
  EXPECT_EQ(missing.outcome.status, 127);
  EXPECT_NE(missing.outcome.message.find("no-such-command-of-glassbox"), std::string::npos);
  EXPECT_EQ(run({"/etc/passwd"}).outcome.status, 126);
}

TEST_F(AgentSession, TenMegabytesPassThroughCatIntact) {
  std::string data(10 << 20, '\0');
  std::uint32_t x = 12345;
  for (char& c : data)
    c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  const CommandResult result = run({"cat"}, data);
  EXPECT_EQ(result.outcome.status, 0);
  EXPECT_TRUE(result.out == data);
}

TEST_F(AgentSession, CommandThatReadsNoInputStillEnds) {
  const CommandResult result = run({"true"}, std::string(4 << 20, 'x'));
  EXPECT_EQ(result.outcome.status, 0);
}

TEST_F(AgentSession, EndOfInputReachesTheCommand) {
  EXPECT_EQ(run({"wc", "-c"}, "12345").out, "5\n");
}

TEST_F(AgentSession, BackgroundProcessDoesNotHoldTheSession) {
  const CommandResult result = shell("sleep 1000 & echo $!");
  EXPECT_EQ(result.outcome.status, 0);
  ASSERT_FALSE(result.out.empty());
  EXPECT_EQ(::kill(std::stoi(result.out), SIGKILL), 0);
}

TEST_F(AgentSession, OutputWrittenJustBeforeTheEndIsComplete) {
  const CommandResult result = shell("head -c 3000000 /dev/zero; echo done >&2");
  EXPECT_EQ(result.out.size(), 3000000U);
  EXPECT_EQ(result.err, "done\n");
}

// Linux takes 128 KiB a word, and a quarter of the stack's limit in all.
TEST_F(AgentSession, ACommandMayBeAsLongAsLinuxTakes) {
  std::vector<std::string> argv{"sh", "-c", "printf %s \"$@\" | wc -c", "sh"};
  for (int i = 0; i < 10; ++i)
    argv.emplace_back(100'000, 'x');
  const CommandResult result = run(argv);
  EXPECT_EQ(result.outcome.kind, CommandEnd::Kind::kExited) << result.outcome.message;
  EXPECT_EQ(result.out, "1000000\n");
}

TEST_F(AgentSession, ACommandThatLinuxDoesNotTakeIs126WithTheReason) {
  for (const std::size_t words :
       {std::size_t{1}, std::size_t{20}}) {  // too long a word, and too many bytes in all
    std::vector<std::string> argv{"true"};
    for (std::size_t i = 0; i < words; ++i)
      argv.emplace_back(words == 1 ? 140'000 : 500'000, 'x');
    const CommandResult result = run(argv);
    EXPECT_EQ(result.outcome.kind, CommandEnd::Kind::kCannotRun);
    EXPECT_EQ(result.outcome.status, 126);
    EXPECT_NE(result.outcome.message.find("Argument list too long"), std::string::npos)
        << result.outcome.message;
  }
}

TEST_F(AgentSession, ArgumentsAreBytes) {
  const std::string odd = "\xff\xfe \"\\\n\x01\xc3";
  EXPECT_EQ(run({"printf", "%s", odd}).out, odd);
}

TEST_F(AgentSession, WordsWithoutAnEndAreRefused) {
  const UniqueFd connection = connect();
  ASSERT_TRUE(protocol::send_message(connection.get(), protocol::MessageType::kExecArguments, "true"));
  ASSERT_TRUE(protocol::send_message(connection.get(), protocol::MessageType::kExecStart, "{}"));
  const auto answer = protocol::receive_message(connection.get());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->type, protocol::MessageType::kExecFailed);
}

TEST_F(AgentSession, SeveralCommandsRunSideBySide) {
  Pipe in = new_pipe(), out = new_pipe();
  CommandEnd held;
  std::thread holder([&] {
    auto outcome = client::run_command(connect(), {.argv = {"cat"}, .env = {}, .cwd = "/", .tty = false},
                                       {in.read.get(), out.write.get(), out.write.get()}, *signals_);
    if (outcome) held = *outcome;
  });
  EXPECT_EQ(shell("exit 3").outcome.status, 3);  // while the first command waits for input
  in.write.reset();
  holder.join();
  EXPECT_EQ(held.kind, CommandEnd::Kind::kExited);
}

TEST_F(AgentSession, SignalOvertakesUnreadInput) {
  Pipe in = new_pipe(), out = new_pipe();
  std::thread feeder([&] { (void)write_all(in.write.get(), std::string(1 << 20, 'x')); });
  std::thread killer([&] {
    char byte = 0;
    EXPECT_EQ(::read(out.read.get(), &byte, 1), 1);  // the command has started
    ::kill(::getpid(), SIGTERM);
  });
  auto outcome = client::run_command(
      connect(), {.argv = {"sh", "-c", "echo; exec sleep 1000"}, .env = {}, .cwd = "/", .tty = false},
      {in.read.get(), out.write.get(), out.write.get()}, *signals_);
  killer.join();
  in.read.reset();
  feeder.join();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, CommandEnd::Kind::kExited);
  EXPECT_EQ(outcome->status, 128 + SIGTERM);
}

TEST_F(AgentSession, CommandGetsHangupWhenTheHostGoesAway) {
  UniqueFd connection = connect();
  Pipe witness = new_pipe();
  const std::string fd = std::to_string(witness.write.get());
  // The command opens the pipe's write end through /proc. The pipe's end of file shows that the command has
  // ended.
  const std::string start = R"({"argv":["sh","-c","exec 9>/proc/)" + std::to_string(::getpid()) + "/fd/" +
                            fd + R"(; echo ready >&9; sleep 1000"]})";
  ASSERT_TRUE(protocol::send_message(connection.get(), protocol::MessageType::kExecStart, start));
  char byte = 0;
  ASSERT_EQ(::read(witness.read.get(), &byte, 1), 1);
  witness.write.reset();
  connection.reset();
  while (::read(witness.read.get(), &byte, 1) > 0) {
  }
}

TEST_F(AgentSession, TerminalHasTheHostsSizeAndEndOfFile) {
  const CommandResult result =
      run({"sh", "-c", "test -t 0 && test -t 1 && stty size && cat"}, "typed\n", true);
  EXPECT_EQ(result.outcome.status, 0);
  EXPECT_NE(result.out.find("24 80"), std::string::npos);
  EXPECT_NE(result.out.find("typed"), std::string::npos);
}

TEST_F(AgentSession, UsersTerminalIsRawDuringTheCommandAndRestoredAfter) {
  UniqueFd master(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  int unlock = 0;
  ASSERT_EQ(::ioctl(master.get(), TIOCSPTLCK, &unlock), 0);
  UniqueFd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  const winsize size{50, 132, 0, 0};
  ASSERT_EQ(::ioctl(slave.get(), TIOCSWINSZ, &size), 0);
  termios before{}, during{}, after{};
  ASSERT_EQ(::tcgetattr(slave.get(), &before), 0);
  Pipe out = new_pipe();
  std::string seen;
  std::thread reader([&] {
    std::array<char, 256> bytes;
    const auto wait_until = [&](auto&& shown) {
      while (!shown()) {
        const ssize_t n = ::read(out.read.get(), bytes.data(), bytes.size());
        if (n <= 0) return false;
        seen.append(bytes.data(), static_cast<std::size_t>(n));
      }
      return true;
    };
    if (!wait_until([&] { return seen.find("50 132") != std::string::npos; })) return;
    ::tcgetattr(slave.get(), &during);
    // The first "word" is the terminal's echo, the second cat's output. Only now is cat the process that the
    // key interrupts: a shell between two commands might continue after it.
    EXPECT_TRUE(write_all(master.get(), "word\r"));
    if (!wait_until([&] { return seen.find("word") != seen.rfind("word"); })) return;
    EXPECT_TRUE(write_all(master.get(), "\x03"));  // Ctrl-C, which the guest turns into SIGINT
  });
  auto outcome = client::run_command(
      connect(), {.argv = {"sh", "-c", "stty size; cat"}, .env = {}, .cwd = "/", .tty = true},
      {slave.get(), out.write.get(), out.write.get()}, *signals_);
  out.write.reset();
  reader.join();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->status, 128 + SIGINT) << seen;
  EXPECT_EQ(during.c_lflag & (ICANON | ECHO | ISIG), 0U);
  ASSERT_EQ(::tcgetattr(slave.get(), &after), 0);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
}

TEST_F(AgentSession, EnvironmentAndDirectoryAreThoseRequested) {
  Pipe in = new_pipe(), out = new_pipe();
  in.write.reset();
  auto outcome = client::run_command(
      connect(),
      {.argv = {"sh", "-c", "echo $COLOUR $HOME; pwd"}, .env = {"COLOUR=blue"}, .cwd = "/usr", .tty = false},
      {in.read.get(), out.write.get(), out.write.get()}, *signals_);
  out.write.reset();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(read_all(out.read.get()), "blue /root\n/usr\n");
}

TEST_F(AgentSession, ProtocolViolationEndsTheConnection) {
  UniqueFd connection = connect();
  ASSERT_TRUE(protocol::send_message(connection.get(), protocol::MessageType::kStdin, "before the start"));
  EXPECT_FALSE(protocol::receive_message(connection.get()));
}

// The agent buffers at most kStdinWindow bytes for a command that does not read. A host that sends more loses
// the connection, and a signal that it sends afterwards has no effect.
TEST_F(AgentSession, InputBeyondTheWindowEndsTheConnection) {
  const UniqueFd connection = connect();
  ASSERT_TRUE(protocol::send_message(connection.get(), protocol::MessageType::kExecStart,
                                     R"({"argv":["sleep","1000"],"env":[],"cwd":"/","tty":false})"));
  const std::string block(protocol::kMaxPayload, 'x');
  constexpr std::size_t kPipeBytes = 65536;  // capacity of the command's stdin pipe
  for (std::size_t sent = 0; sent <= protocol::kStdinWindow + kPipeBytes; sent += block.size())
    (void)protocol::send_message(connection.get(), protocol::MessageType::kStdin, block);
  const std::uint32_t kill = SIGKILL;
  (void)protocol::send_message(connection.get(), protocol::MessageType::kSignal, protocol::as_payload(kill));
  protocol::MessageDecoder decoder;
  decoder.feed(read_all(connection.get()));
  for (auto message = decoder.next(); message && *message; message = decoder.next())
    EXPECT_EQ((*message)->type, protocol::MessageType::kStdinAck);
}

TEST_F(AgentSession, AnInvalidSignalNumberEndsTheConnection) {
  for (const std::uint32_t number : {0U, 65U, 0xFFFF'FFFFU}) {
    const UniqueFd connection = connect();
    ASSERT_TRUE(protocol::send_message(connection.get(), protocol::MessageType::kExecStart,
                                       R"({"argv":["sleep","1000"],"env":[],"cwd":"/","tty":false})"));
    for (const std::uint32_t one : {number, std::uint32_t{SIGKILL}})
      (void)protocol::send_message(connection.get(), protocol::MessageType::kSignal,
                                   protocol::as_payload(one));
    EXPECT_FALSE(protocol::receive_message(connection.get()))
        << number << ": the command must not report an exit";
  }
}

// As a terminal's user expects: the shell that waits for the foreground command does not get the signal.
TEST_F(AgentSession, ASignalAtATerminalGoesToTheForeground) {
  const UniqueFd connection = connect();
  ASSERT_TRUE(protocol::send_message(
      connection.get(), protocol::MessageType::kExecStart,
      R"({"argv":["sh","-c","set -m; sh -c 'echo ready; exec sleep 1000'; echo got $?"],"env":[],"cwd":"/","tty":true})"));
  std::string output;
  bool sent = false;
  for (auto message = protocol::receive_message(connection.get()); message;
       message = protocol::receive_message(connection.get())) {
    if (message->type == protocol::MessageType::kStdout) output += message->payload;
    if (sent || output.find("ready") == std::string::npos) continue;
    sent = true;
    const std::uint32_t number = SIGTERM;
    ASSERT_TRUE(protocol::send_message(connection.get(), protocol::MessageType::kSignal,
                                       protocol::as_payload(number)));
  }
  EXPECT_NE(output.find("got 143"), std::string::npos) << output;
}

TEST_F(AgentSession, InvalidStartIsRefusedWithAReason) {
  UniqueFd connection = connect();
  ASSERT_TRUE(protocol::send_message(connection.get(), protocol::MessageType::kExecStart, R"({"argv":[]})"));
  const auto answer = protocol::receive_message(connection.get());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->type, protocol::MessageType::kExecFailed);
}

TEST(ComesFromHost, NoOtherCidOfVsock) {
  for (const unsigned cid : {0U, 1U, 2U, 3U, 0xFFFF'FFFFU}) {
    const sockaddr_vm address = vsock_address(cid, 1024);
    sockaddr_storage peer{};
    std::memcpy(&peer, &address, sizeof(address));
    EXPECT_EQ(agent::comes_from_host(peer), cid == VMADDR_CID_HOST) << cid;
  }
}

TEST_F(AgentSession, PowerOffIsPassedOn) {
  const UniqueFd connection = connect();
  ASSERT_TRUE(client::request_power_off(connection.get()));
  server_.join();
  EXPECT_TRUE(powered_off_);
}

}  // namespace
}  // namespace glassbox
