#include "vmm/cli/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>

#include "vmm/cli/command.h"
#include "vmm/client/signals.h"

namespace glassbox::cli {
namespace {

int status_of(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// The foreground process: waits for the report, the child's end or a signal.
int wait_for_report(pid_t child, const UniqueFd& report, const client::SignalWatch& signals) {
  std::string line;
  for (;;) {
    std::array<pollfd, 2> fds{{{report.get(), POLLIN, 0}, {signals.fd(), POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    while (const auto signal = signals.take()) {
      if (*signal == SIGWINCH) continue;
      ::kill(child, SIGTERM);
      (void)status_of(child);
      return 128 + *signal;
    }
    if (fds[0].revents == 0) continue;
    std::array<char, 256> bytes;
    const ssize_t n = ::read(report.get(), bytes.data(), bytes.size());
    if (n > 0) line.append(bytes.data(), static_cast<std::size_t>(n));
    if (line.ends_with('\n')) {
      std::fputs(line.c_str(), stdout);
      return 0;
    }
    if (n <= 0) return status_of(child);
  }
}

}  // namespace

Status ReadyReport::ready(const std::string& line) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return fail_errno(errno, "cannot open /dev/null");
  // First the descriptors, then the word: whoever waits for the end of our output need not wait for the VM.
  std::fflush(nullptr);
  for (int fd = 0; fd < 3; ++fd)
    ::dup2(null.get(), fd);
  (void)!::chdir("/");
  const std::string text = line + "\n";
  if (::write(pipe_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return fail_errno(errno, "nobody waits for the VM any more");
  }
  pipe_.reset();
  return {};
}

int run_as_daemon(const std::function<int(ReadyReport&)>& serve) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return report(Error{"cannot make a pipe", errno}, kExitOurFailure);
  UniqueFd read_end(fds[0]);
  UniqueFd write_end(fds[1]);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return report(Error{"cannot fork", errno}, kExitOurFailure);
  if (child == 0) {
    read_end.reset();
    ::setsid();
    ::signal(SIGPIPE, SIG_IGN);
    ReadyReport ready(std::move(write_end));
    return serve(ready);
  }
  write_end.reset();
  const auto signals = client::SignalWatch::create();
  if (!signals) return report(signals.error(), kExitOurFailure);
  return wait_for_report(child, read_end, *signals);
}

}  // namespace glassbox::cli
