#include "vmm/cli/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>

#include "vmm/base/io.h"
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
      if (print(line) == 0) return 0;
      // A start that fails leaves nothing behind: without the name nothing could stop this VM.
      ::kill(child, SIGTERM);
      (void)status_of(child);
      return kExitOurFailure;
    }
    if (n <= 0) return status_of(child);
  }
}

}  // namespace

Status ReadyReport::ready(const std::string& line) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return fail_errno(errno, "cannot open /dev/null");
  // Close the descriptors before the report: a reader that waits for the end of this output must not wait for
  // the VM.
  std::fflush(nullptr);
  for (int fd = 0; fd < 3; ++fd)
    ::dup2(null.get(), fd);
  (void)!::chdir("/");
  const std::string text = line + "\n";
  if (!write_all(pipe_.get(), text)) {
    return fail_errno(errno, "cannot report that the VM is ready: the process that started it has ended");
  }
  pipe_.reset();
  return {};
}

int run_as_daemon(const std::function<int(ReadyReport&)>& serve) {
  Result<Pipe> pipe = make_pipe();
  if (!pipe) return report(pipe.error(), kExitOurFailure);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return report(Error{"cannot fork", errno}, kExitOurFailure);
  if (child == 0) {
    pipe->read.reset();
    ::setsid();
    ::signal(SIGPIPE, SIG_IGN);
    ReadyReport ready(std::move(pipe->write));
    return serve(ready);
  }
  pipe->write.reset();
  const auto signals = client::SignalWatch::create();
  if (!signals) return report(signals.error(), kExitOurFailure);
  return wait_for_report(child, pipe->read, *signals);
}

}  // namespace glassbox::cli
