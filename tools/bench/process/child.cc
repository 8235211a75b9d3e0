#include "tools/bench/process/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <string_view>

#include "vmm/base/io.h"

namespace glassbox::bench {
namespace {

constexpr std::size_t kMaxOutput = 8u << 20;
constexpr int kStopLimitMs = 10'000;
constexpr std::size_t kMaxLine = 300;

// Read without waiting.
Result<Pipe> make_output_pipe() {
  GB_ASSIGN(Pipe pipe, make_pipe());
  set_nonblocking(pipe.read.get());
  return pipe;
}

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void exec_child(const ChildSpec& spec, char* const* argv, pid_t launcher, int out, int err) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, spec.stop_signal);
  if (::getppid() != launcher) ::_exit(127);  // it died before the line above
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);  // which the launcher ignores
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  if (out >= 0) ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  for (const int fd : spec.inherit)
    ::fcntl(fd, F_SETFD, 0);
  ::execvp(argv[0], argv);
  const char* reason = ::strerrordesc_np(errno);
  const std::array<const char*, 4> words{argv[0], ": ", reason != nullptr ? reason : "cannot be run", "\n"};
  for (const char* text : words)
    write_once(STDERR_FILENO, text);
  ::_exit(127);
}

// False at end of file.
bool drain(int fd, std::string& text) {
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n > 0) {
      text.append(buffer.data(),
                  std::min(static_cast<std::size_t>(n), kMaxOutput - std::min(kMaxOutput, text.size())));
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    return n < 0 && errno == EAGAIN;
  }
}

}  // namespace

std::string last_line(const std::string& text) {
  const std::size_t end = text.find_last_not_of(" \r\n\t");
  if (end == std::string::npos) return {};
  const std::size_t before = text.find_last_of('\n', end);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  return text.substr(begin, std::min(end + 1 - begin, kMaxLine));
}

Result<std::unique_ptr<Child>> Child::start(ChildSpec spec) {
  Pipe out;
  if (spec.capture_stdout) {
    GB_ASSIGN(out, make_output_pipe());
  }
  GB_ASSIGN(Pipe err, make_output_pipe());
  std::vector<char*> argv;
  for (std::string& arg : spec.argv)
    argv.push_back(arg.data());
  argv.push_back(nullptr);

  const pid_t launcher = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "cannot start {}", spec.what);
  if (pid == 0) exec_child(spec, argv.data(), launcher, out.write.get(), err.write.get());
  ::setpgid(pid, pid);  // in both, so that it holds whichever runs first
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const int pidfd_error = errno;
  std::unique_ptr<Child> child(
      new Child(std::move(spec), pid, std::move(pidfd), std::move(out.read), std::move(err.read)));
  if (!child->pidfd_) return fail_errno(pidfd_error, "pidfd_open");  // the destructor ends it
  return child;
}

bool in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    if (::access((std::string(rest.substr(0, end)) + "/" + program).c_str(), X_OK) == 0) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

Child::Child(ChildSpec spec, pid_t pid, UniqueFd pidfd, UniqueFd out, UniqueFd err)
    : spec_(std::move(spec)),
      pid_(pid),
      pidfd_(std::move(pidfd)),
      out_(std::move(out)),
      err_(std::move(err)) {}

Child::~Child() {
  if (pid_ > 0 && !status_) stop(kStopLimitMs);
}

void Child::take_output() {
  if (out_ && !drain(out_.get(), out_text_)) out_.reset();
  if (err_ && !drain(err_.get(), err_text_)) err_.reset();
}

std::string Child::how_it_ended() const {
  if (!status_) return fmt::format("{} still runs", spec_.what);
  const std::string line = last_line(err_text_);
  const std::string how = status_->code > 128 ? fmt::format("was ended by signal {}", status_->code - 128)
                                              : fmt::format("exited {}", status_->code);
  return line.empty() ? fmt::format("{} {}", spec_.what, how)
                      : fmt::format("{} {}: {}", spec_.what, how, line);
}

std::optional<ExitStatus> Child::reap() {
  if (status_ || pid_ <= 0) return status_;
  int raw = 0;
  if (::waitpid(pid_, &raw, WNOHANG) == pid_) {
    status_ = ExitStatus{WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw)};
    take_output();
  }
  return status_;
}

void Child::signal(int number) const {
  // The pid is ours until it is reaped, so neither it nor the group can have been reused.
  if (pid_ > 0 && !status_) ::kill(-pid_, number);
}

bool Child::wait(int limit_ms) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(limit_ms);
  while (!reap()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    // A child that fills its pipe would never end: keep reading while it winds up.
    std::array<pollfd, 3> fds{{{pidfd_.get(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), static_cast<int>(left));
    take_output();
  }
  return true;
}

ExitStatus Child::stop(int limit_ms) {
  signal(spec_.stop_signal);
  signal(SIGCONT);  // a stopped process would not receive the signal
  while (!wait(limit_ms))
    signal(SIGKILL);
  return *status_;
}

}  // namespace glassbox::bench
