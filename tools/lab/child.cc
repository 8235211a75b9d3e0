#include "tools/lab/child.h"

#include <dirent.h>
#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "vmm/base/io.h"

namespace glassbox::lab {
namespace {

// What the new process reports through a close-on-exec pipe if exec fails.
struct ExecFailure {
  int at_directory;  // 1: chdir failed, 0: exec failed
  int error;
};

std::vector<char*> pointers(const std::vector<std::string>& list) {
  std::vector<char*> out;
  out.reserve(list.size() + 1);
  for (const auto& text : list)
    out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

// Runs in the new process, between fork and exec.
[[noreturn]] void become(const Hello& hello, const std::array<int, 3>& fds, int terminal, int report) {
  sigset_t none;
  sigemptyset(&none);
  for (int signal = 1; signal < NSIG; ++signal)
    std::signal(signal, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
  if (terminal >= 0) ::ioctl(terminal, TIOCSCTTY, 0);
  for (int fd = 0; fd < 3; ++fd)
    ::dup2(fds[static_cast<std::size_t>(fd)], fd);
  ExecFailure failure{0, 0};
  if (::chdir(hello.directory.c_str()) != 0) {
    failure = {1, errno};
  } else {
    std::vector<char*> arguments = pointers(hello.command);
    std::vector<char*> environment = pointers(hello.environment);
    ::clearenv();
    environ = environment.data();  // execvp looks the command up in the caller's PATH
    ::execvp(arguments[0], arguments.data());
    failure = {0, errno};
  }
  write_once(report, &failure, sizeof failure);
  ::_exit(127);
}

StartFailure explain(const Hello& hello, const ExecFailure& failure) {
  if (failure.at_directory != 0) {
    return {125, "the working directory " + hello.directory +
                     " is not in the lab: " + std::strerror(failure.error)};
  }
  return {failure.error == ENOENT ? 127 : 126, hello.command[0] + ": " + std::strerror(failure.error)};
}

}  // namespace

tl::expected<Child, StartFailure> start_child(const Hello& hello) {
  Child child;
  UniqueFd slave;
  if ((hello.terminal_mask & 7) != 0) {
    winsize size{};
    size.ws_row = static_cast<unsigned short>(hello.rows);
    size.ws_col = static_cast<unsigned short>(hello.columns);
    int master_fd = -1;
    int slave_fd = -1;
    if (::openpty(&master_fd, &slave_fd, nullptr, nullptr, &size) != 0) {
      return tl::unexpected(StartFailure{125, std::string("openpty: ") + std::strerror(errno)});
    }
    child.terminal.reset(master_fd);
    slave.reset(slave_fd);
    ::fcntl(master_fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(slave_fd, F_SETFD, FD_CLOEXEC);
  }
  std::array<UniqueFd, 3> theirs;
  std::array<int, 3> fds{};
  for (std::size_t i = 0; i < 3; ++i) {
    if ((hello.terminal_mask >> i & 1) != 0) {
      fds[i] = slave.get();
      continue;
    }
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      return tl::unexpected(StartFailure{125, std::string("pipe2: ") + std::strerror(errno)});
    }
    theirs[i].reset(ends[i == 0 ? 0 : 1]);
    child.pipes[i].reset(ends[i == 0 ? 1 : 0]);
    fds[i] = theirs[i].get();
  }
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) {
    return tl::unexpected(StartFailure{125, std::string("pipe2: ") + std::strerror(errno)});
  }
  UniqueFd report_read(report[0]);
  UniqueFd report_write(report[1]);
  child.pid = ::fork();
  if (child.pid < 0) return tl::unexpected(StartFailure{125, std::string("fork: ") + std::strerror(errno)});
  if (child.pid == 0) become(hello, fds, slave.get(), report_write.get());
  report_write.reset();
  ExecFailure failure{};
  if (::read(report_read.get(), &failure, sizeof failure) == sizeof failure) {
    return tl::unexpected(explain(hello, failure));
  }
  child.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
  for (UniqueFd* fd : {&child.terminal, &child.pipes[0], &child.pipes[1], &child.pipes[2]}) {
    if (fd->valid()) set_nonblocking(fd->get());
  }
  return child;
}

void signal_session(pid_t sid, int signal) {
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return;
  while (const dirent* entry = ::readdir(proc)) {
    const auto pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (pid > 1 && ::getsid(pid) == sid) ::kill(pid, signal);
  }
  ::closedir(proc);
}

}  // namespace glassbox::lab
