#include "net/netns/netns_keeper.h"

#include <dirent.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "vmm/base/io.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {
namespace {

constexpr int kCannotRun = 126;
constexpr int kNotFound = 127;

[[noreturn]] void run_command(const std::vector<std::string>& command, const sigset_t& signal_mask,
                              pid_t keeper) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != keeper) ::_exit(kCannotRun);
  std::vector<char*> argv;
  for (const std::string& word : command)
    argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::sigprocmask(SIG_SETMASK, &signal_mask, nullptr);
  ::execvp(argv[0], argv.data());
  const int error = errno;
  const std::string text = fmt::format("glassbox: cannot run {}: {}\n", command[0], std::strerror(error));
  write_once(STDERR_FILENO, text);
  ::_exit(error == ENOENT ? kNotFound : kCannotRun);
}

// The parent of a process, from /proc/PID/stat. The name in parentheses may contain anything, parentheses
// too.
pid_t parent_of(const char* pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(file, line);
  const auto name_end = line.rfind(')');
  if (name_end == std::string::npos || name_end + 4 > line.size()) return 0;
  return std::atoi(line.c_str() + name_end + 4);  // ") S PPID"
}

void kill_children() {
  const pid_t self = ::getpid();
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return;
  while (const dirent* entry = ::readdir(proc)) {
    const pid_t pid = std::atoi(entry->d_name);
    if (pid > 0 && parent_of(entry->d_name) == self) ::kill(pid, SIGKILL);
  }
  ::closedir(proc);
}

// Each round kills the children of the moment. Their children become this process's own, for the next round.
void end_all() {
  for (;;) {
    kill_children();
    if (::waitpid(-1, nullptr, 0) < 0) return;
  }
}

// Reaps all processes that have ended. True, with the exit status, if the command is among them.
bool reap(pid_t command, int& exit_status) {
  bool ended = false;
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != command) continue;
    exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    ended = true;
  }
  return ended;
}

}  // namespace

void keep(const std::vector<std::string>& command, const sigset_t& signal_mask, int socket) {
  ::prctl(PR_SET_PDEATHSIG, 0);  // the socket reports the parent's end, and leaves time to clean up
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t watched;
  ::sigprocmask(SIG_BLOCK, nullptr, &watched);
  sigaddset(&watched, SIGCHLD);
  ::sigprocmask(SIG_SETMASK, &watched, nullptr);
  const UniqueFd signal_fd(::signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC));
  const pid_t keeper = ::getpid();
  const pid_t pid = signal_fd ? ::fork() : -1;
  if (pid < 0) ::_exit(kCannotRun);
  if (pid == 0) run_command(command, signal_mask, keeper);

  int exit_status = kCannotRun;
  std::array<pollfd, 2> waits = {pollfd{signal_fd.get(), POLLIN, 0}, pollfd{socket, POLLIN, 0}};
  for (bool ended = false; !ended;) {
    ::poll(waits.data(), waits.size(), -1);
    signalfd_siginfo info{};
    while (::read(signal_fd.get(), &info, sizeof(info)) == sizeof(info)) {
      // A signal of the terminal went to the whole process group, so the command has it already.
      if (info.ssi_signo == SIGCHLD) {
        ended |= reap(pid, exit_status);
      } else if (info.ssi_code != SI_KERNEL && !ended) {
        ::kill(pid, static_cast<int>(info.ssi_signo));
      }
    }
    ended |= (waits[1].revents & (POLLIN | POLLHUP)) != 0;
  }
  end_all();
  ::_exit(exit_status);
}

}  // namespace glassbox::net
