// Starts a program as the leader of a session of its own, on descriptors that the caller made: what the
// guest's agent and the lab's daemon do with a command. Header-only: both are compiled without the library.
//
// tools/bench starts its children otherwise on purpose: in a process group of the launcher's session, so that
// Ctrl-C reaches the launcher alone, with a parent-death signal, and with the reason of a failed exec on the
// child's stderr.
#pragma once

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <vector>

#include "vmm/base/io.h"

namespace glassbox {

struct ProcessSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in the PATH of env
  std::vector<std::string> env;   // "NAME=value", the whole environment
  std::string directory;
  std::array<int, 3> stdio{};  // become descriptors 0 to 2; stay the caller's, who marks them close-on-exec
  int terminal = -1;           // becomes the controlling terminal, if there is one
};

struct StartedProcess {
  pid_t pid = -1;  // the caller reaps it
  UniqueFd pidfd;  // readable once it has ended
};

enum class StartStep { kSystem, kDirectory, kExec };

// `code` is the errno of the step that failed. kSystem: no pipe, process, or terminal could be had.
struct StartError {
  StartStep step = StartStep::kSystem;
  int code = 0;
};

namespace detail {

// The child's part, between fork and exec: system calls only. Returns only on failure.
inline StartError exec_in_session(const ProcessSpec& spec, char* const* argv, char** env) {
  for (int signal = 1; signal < NSIG; ++signal)
    ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
  if (spec.terminal >= 0 && ::ioctl(spec.terminal, TIOCSCTTY, 0) < 0) return {StartStep::kSystem, errno};
  for (int fd = 0; fd < 3; ++fd)
    if (::dup2(spec.stdio[static_cast<std::size_t>(fd)], fd) < 0) return {StartStep::kSystem, errno};
  if (::chdir(spec.directory.c_str()) < 0) return {StartStep::kDirectory, errno};
  ::environ = env;  // execvp searches the PATH of the environment that it hands on
  ::execvp(argv[0], argv);
  return {StartStep::kExec, errno};
}

inline std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (const std::string& text : strings)
    result.push_back(const_cast<char*>(text.c_str()));  // exec does not write to them
  result.push_back(nullptr);
  return result;
}

}  // namespace detail

// Returns once the program runs, or with the reason why it does not; then there is no process left. All
// signals have their default action in it, none is blocked.
[[nodiscard]] inline tl::expected<StartedProcess, StartError> start_process(const ProcessSpec& spec) {
  const auto failed = [](StartError error) { return tl::unexpected<StartError>(error); };
  auto report = make_pipe();  // closes on exec: what comes through it is a failure
  if (!report) return failed({StartStep::kSystem, report.error().code});
  const std::vector<char*> argv = detail::pointers(spec.argv);
  std::vector<char*> env = detail::pointers(spec.env);
  StartedProcess process;
  process.pid = ::fork();
  if (process.pid < 0) return failed({StartStep::kSystem, errno});
  if (process.pid == 0) {
    const StartError error = detail::exec_in_session(spec, argv.data(), env.data());
    write_once(report->write.get(), &error, sizeof(error));
    ::_exit(127);
  }
  report->write.reset();
  StartError error;
  if (read_exactly(report->read.get(), &error, sizeof(error))) {
    ::waitpid(process.pid, nullptr, 0);
    return failed(error);
  }
  process.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  return process;
}

}  // namespace glassbox
