// The command channel end to end, both programs on this machine: what passes through a lab passes through
// here, and no machine has to boot for it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tools/lab/wire.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::lab {
namespace {

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

std::string read_line(int fd) {
  std::string line;
  char c = 0;
  while (::read(fd, &c, 1) == 1 && c != '\n')
    line.push_back(c);
  return line;
}

std::string read_all(int fd) {
  std::string all;
  std::array<char, 65536> buffer{};
  ssize_t n = 0;
  while ((n = ::read(fd, buffer.data(), buffer.size())) > 0)
    all.append(buffer.data(), static_cast<std::size_t>(n));
  return all;
}

// A program with its three descriptors on pipes.
struct Program {
  pid_t pid = -1;
  UniqueFd in, out, err;
  Program() = default;
  Program(Program&& other) noexcept { *this = std::move(other); }
  Program& operator=(Program&& other) noexcept {
    std::swap(pid, other.pid);
    in = std::move(other.in);
    out = std::move(other.out);
    err = std::move(other.err);
    return *this;
  }
  ~Program() {
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
};

std::vector<char*> argv_of(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const auto& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  return argv;
}

Program spawn(const std::vector<std::string>& words) {
  int pipes[3][2];
  for (auto& ends : pipes)
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Program program;
  const std::vector<char*> argv = argv_of(words);
  program.pid = ::fork();
  if (program.pid == 0) {
    ::dup2(pipes[0][0], 0);
    ::dup2(pipes[1][1], 1);
    ::dup2(pipes[2][1], 2);
    ::execv(argv[0], argv.data());
    ::_exit(99);
  }
  program.in.reset(pipes[0][1]);
  program.out.reset(pipes[1][0]);
  program.err.reset(pipes[2][0]);
  ::close(pipes[0][0]);
  ::close(pipes[1][1]);
  ::close(pipes[2][1]);
  return program;
}

// All three on a terminal, whose other end is `out`.
Program spawn_on_terminal(const winsize& size, const std::vector<std::string>& words) {
  Program program;
  const std::vector<char*> argv = argv_of(words);
  int master = -1;
  program.pid = ::forkpty(&master, nullptr, nullptr, &size);
  if (program.pid == 0) {
    ::execv(argv[0], argv.data());
    ::_exit(99);
  }
  program.out.reset(master);
  return program;
}

class LabChannel : public ::testing::Test {
 protected:
  void SetUp() override {
    token_ = ::testing::TempDir() + "lab-token-" + std::to_string(::getpid());
    std::ofstream(token_) << "0123456789abcdef0123456789abcdef\n";
    daemon_ = spawn({LAB_PROGRAM, "serve", "--port", "0", "--token-file", token_});
    const std::string ready = read_line(daemon_.out.get());
    ASSERT_EQ(ready.rfind("lab: ready on port ", 0), 0u) << ready;
    port_ = ready.substr(ready.rfind(' ') + 1);
  }
  void TearDown() override { ::unlink(token_.c_str()); }

  std::vector<std::string> client(const std::vector<std::string>& command, int patience_s = 0) const {
    std::vector<std::string> words{LAB_PROGRAM,
                                   "client",
                                   "--port",
                                   port_,
                                   "--token-file",
                                   token_,
                                   "--patience",
                                   std::to_string(patience_s),
                                   "--"};
    words.insert(words.end(), command.begin(), command.end());
    return words;
  }

  Outcome run(const std::vector<std::string>& command, const std::string& input = "") const {
    ::signal(SIGPIPE, SIG_IGN);
    Program program = spawn(client(command));
    Outcome outcome;
    std::thread writer([&] {
      std::size_t at = 0;
      while (at < input.size()) {
        const ssize_t n = ::write(program.in.get(), input.data() + at, input.size() - at);
        if (n <= 0) break;
        at += static_cast<std::size_t>(n);
      }
      program.in.reset();
    });
    std::thread reader([&] { outcome.err = read_all(program.err.get()); });
    outcome.out = read_all(program.out.get());
    reader.join();
    writer.join();
    outcome.status = program.wait();
    return outcome;
  }

  std::string token_;
  std::string port_;
  Program daemon_;
};

TEST_F(LabChannel, StatusAndStreamsAreTheCommandsOwn) {
  const Outcome outcome = run({"sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(outcome.status, 7);
  EXPECT_EQ(outcome.out, "out\n");
  EXPECT_EQ(outcome.err, "err\n");
}

TEST_F(LabChannel, StatusOfWhatDoesNotRun) {
  EXPECT_EQ(run({"no-such-command-anywhere"}).status, 127);
  EXPECT_EQ(run({"/etc/passwd"}).status, 126);
  EXPECT_EQ(run({"sh", "-c", "kill -KILL $$"}).status, 128 + SIGKILL);
}

TEST_F(LabChannel, TenMegabytesComeBackIntact) {
  std::string data(10'000'000, '\0');
  unsigned state = 1;
  for (char& c : data)
    c = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  const Outcome outcome = run({"cat"}, data);
  EXPECT_EQ(outcome.status, 0);
  EXPECT_TRUE(outcome.out == data) << outcome.out.size() << " bytes came back";
}

TEST_F(LabChannel, InputThatNobodyReadsHoldsNothingUp) {
  EXPECT_EQ(run({"sh", "-c", "exec 0<&-; echo done"}, std::string(3'000'000, 'x')).out, "done\n");
  EXPECT_EQ(run({"true"}, std::string(3'000'000, 'x')).status, 0);
}

TEST_F(LabChannel, SignalsReachTheCommandWhileItsInputIsStuck) {
  Program program =
      spawn(client({"sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"}));
  std::thread writer([fd = program.in.get()] {
    ::signal(SIGPIPE, SIG_IGN);
    const std::string much(2'000'000, 'x');
    [[maybe_unused]] const ssize_t n = ::write(fd, much.data(), much.size());
  });
  EXPECT_EQ(read_line(program.out.get()), "ready");
  ::kill(program.pid, SIGTERM);
  EXPECT_EQ(program.wait(), 5);
  writer.join();
}

TEST_F(LabChannel, AClosedOutputEndsTheCommandAsItWouldWithoutTheLab) {
  Program program = spawn(client({"sh", "-c", "yes; echo $? >&2"}));
  EXPECT_EQ(read_line(program.out.get()), "y");
  program.out.reset();
  EXPECT_EQ(read_line(program.err.get()), std::to_string(128 + SIGPIPE));
}

TEST_F(LabChannel, OutputIsWholeThoughTheCommandEndedBeforeAnybodyReadIt) {
  // More than the window, and still within what window and pipes hold: the command ends while the tail waits.
  constexpr std::size_t kBytes = kWindow + 100'000;
  Program program =
      spawn(client({"sh", "-c", "echo $$ >&2; exec head -c " + std::to_string(kBytes) + " /dev/zero"}));
  const auto command = static_cast<pid_t>(std::atoi(read_line(program.err.get()).c_str()));
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, command, 0)));
  pollfd fd{pidfd.get(), POLLIN, 0};
  if (pidfd) {
    ASSERT_EQ(::poll(&fd, 1, 30'000), 1) << "the command waits for a reader";
  }
  EXPECT_EQ(read_all(program.out.get()).size(), kBytes);
  EXPECT_EQ(program.wait(), 0);
}

TEST_F(LabChannel, AKilledCallerTakesItsCommandAlong) {
  Program program = spawn(client({"sh", "-c", "echo $$; exec sleep 1000"}));
  const auto command = static_cast<pid_t>(std::atoi(read_line(program.out.get()).c_str()));
  ASSERT_GT(command, 1);
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, command, 0));
  ASSERT_GE(pidfd, 0);
  ::kill(program.pid, SIGKILL);
  pollfd fd{pidfd, POLLIN, 0};
  EXPECT_EQ(::poll(&fd, 1, 30'000), 1) << "the command outlived its caller";
  ::close(pidfd);
}

TEST_F(LabChannel, ABackgroundProcessDoesNotHoldTheCallerUp) {
  Program program = spawn(client({"sh", "-c", "setsid sleep 1000 & echo $!"}));
  const std::string pid = read_line(program.out.get());
  EXPECT_EQ(program.wait(), 0);
  ::kill(static_cast<pid_t>(std::atoi(pid.c_str())), SIGKILL);
}

TEST_F(LabChannel, AWrongTokenIsRefused) {
  std::ofstream(token_) << "another-token-another-token\n";
  const Outcome outcome = run({"true"});
  EXPECT_EQ(outcome.status, 125);
  EXPECT_NE(outcome.err.find("refused"), std::string::npos) << outcome.err;
}

// A lab whose processors stand still: its port is open, as QEMU keeps it, and nobody answers behind it.
struct LabThatStandsStill : LabChannel {
  // N of "has not answered for N s"; -1 without such a line, or with more than the one.
  static int silence_said(const std::string& error) {
    const auto at = error.find("has not answered for ");
    if (at == std::string::npos || error.find('\n') != error.size() - 1) return -1;
    EXPECT_NE(error.find("'tools/in-lab --stop'"), std::string::npos) << error;
    return std::atoi(error.c_str() + at + 21);
  }
  // The daemon, and the process of its one session.
  void stand_still() {
    std::ifstream file("/proc/" + std::to_string(daemon_.pid) + "/task/" + std::to_string(daemon_.pid) +
                       "/children");
    pid_t session = 0;
    while (file >> session) {
      ::kill(session, SIGSTOP);
      sessions_.push_back(session);
    }
    ::kill(daemon_.pid, SIGSTOP);
  }
  void TearDown() override {
    for (const pid_t session : sessions_)
      ::kill(session, SIGCONT);
    LabChannel::TearDown();
  }
  std::vector<pid_t> sessions_;
};

TEST_F(LabThatStandsStill, ACommandThatNeverStartsEndsAfterThePatience) {
  stand_still();
  Program program = spawn(client({"true"}, 1));
  EXPECT_EQ(silence_said(read_all(program.err.get())), 1);
  EXPECT_EQ(program.wait(), 125);
}

TEST_F(LabThatStandsStill, ARunningCommandEndsAfterThePatience) {
  Program program = spawn(client({"sh", "-c", "echo ready; exec sleep 1000"}, 1));
  EXPECT_EQ(read_line(program.out.get()), "ready");
  stand_still();
  EXPECT_EQ(silence_said(read_all(program.err.get())), 1);
  EXPECT_EQ(program.wait(), 125);
}

// All of the lab lives but for the file system that its host serves: a FIFO without a writer is such a file.
TEST_F(LabThatStandsStill, AHostThatDoesNotAnswerIsFoundThoughTheDaemonLives) {
  Program program = spawn(client({"sh", "-c", "echo ready; exec sleep 1000"}, 1));
  EXPECT_EQ(read_line(program.out.get()), "ready");
  ::unlink(token_.c_str());
  ASSERT_EQ(::mkfifo(token_.c_str(), 0600), 0);
  EXPECT_EQ(silence_said(read_all(program.err.get())), 1);
  EXPECT_EQ(program.wait(), 125);
  const UniqueFd lets_the_session_go(::open(token_.c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(lets_the_session_go);
}

TEST_F(LabThatStandsStill, OneSignalIsEnoughLongBeforeThePatienceEnds) {
  constexpr int kPatienceS = 12;
  Program program = spawn(client({"sh", "-c", "echo ready; exec sleep 1000"}, kPatienceS));
  EXPECT_EQ(read_line(program.out.get()), "ready");
  stand_still();
  ::kill(program.pid, SIGTERM);
  const int silence_s = silence_said(read_all(program.err.get()));
  EXPECT_GE(silence_s, 1);
  EXPECT_LT(silence_s, kPatienceS / 2);
  EXPECT_EQ(program.wait(), 125);
}

TEST_F(LabThatStandsStill, CtrlCAtATerminalIsEnoughToo) {
  constexpr int kPatienceS = 12;
  Program program =
      spawn_on_terminal({24, 200, 0, 0}, client({"sh", "-c", "echo ready; exec sleep 1000"}, kPatienceS));
  const int master = program.out.get();
  EXPECT_EQ(read_line(master), "ready\r");
  stand_still();
  EXPECT_EQ(::write(master, "\x03", 1), 1);
  const int silence_s = silence_said(read_all(master));
  EXPECT_GE(silence_s, 1);
  EXPECT_LT(silence_s, kPatienceS / 2);
  EXPECT_EQ(program.wait(), 125);
}

TEST_F(LabChannel, ATerminalIsATerminalWithItsSize) {
  Program program = spawn_on_terminal(
      {33, 101, 0, 0}, client({"sh", "-c", "test -t 0 && test -t 1 && test -t 2 && stty size"}));
  EXPECT_EQ(read_all(program.out.get()), "33 101\r\n");
  EXPECT_EQ(program.wait(), 0);
}

}  // namespace
}  // namespace glassbox::lab
