#include "tools/lab/child.h"

#include <dirent.h>
#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "vmm/base/io.h"
#include "vmm/base/start_process.h"

namespace glassbox::lab {
namespace {

StartFailure explain(const Hello& hello, const StartError& error) {
  const std::string reason = std::strerror(error.code);
  if (error.step == StartStep::kSystem) return {125, "cannot start a process in the lab: " + reason};
  if (error.step == StartStep::kDirectory) {
    return {125, "the working directory " + hello.directory + " is not in the lab: " + reason};
  }
  return {error.code == ENOENT ? 127 : 126, hello.command[0] + ": " + reason};
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
    auto pipe = make_pipe();
    if (!pipe) return tl::unexpected(StartFailure{125, pipe.error().message});
    theirs[i] = std::move(i == 0 ? pipe->read : pipe->write);
    child.pipes[i] = std::move(i == 0 ? pipe->write : pipe->read);
    fds[i] = theirs[i].get();
  }
  auto process = start_process({.argv = hello.command,
                                .env = hello.environment,
                                .directory = hello.directory,
                                .stdio = fds,
                                .terminal = slave.get()});
  if (!process) return tl::unexpected(explain(hello, process.error()));
  child.pid = process->pid;
  child.pidfd = std::move(process->pidfd);
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
