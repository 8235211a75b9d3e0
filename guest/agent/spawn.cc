#include "guest/agent/spawn.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <string_view>

#include "vmm/base/io.h"

namespace glassbox::agent {
namespace {

constexpr std::string_view kDefaultEnv[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root",
    "LOGNAME=root", "SHELL=/bin/sh"};

Result<Pipe> open_terminal(unsigned short rows, unsigned short cols) {
  UniqueFd master(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!master) return fail_errno(errno, "cannot open /dev/ptmx");
  int unlock = 0;
  if (::ioctl(master.get(), TIOCSPTLCK, &unlock) < 0)
    return fail_errno(errno, "cannot unlock the new terminal");
  // TIOCGPTPEER instead of the name in /dev/pts, which may be another instance of devpts.
  UniqueFd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave) return fail_errno(errno, "cannot open the other side of the new terminal");
  const winsize size{rows, cols, 0, 0};
  ::ioctl(slave.get(), TIOCSWINSZ, &size);
  return Pipe{std::move(master), std::move(slave)};
}

std::vector<std::string> merge_env(const std::vector<std::string>& wanted) {
  std::vector<std::string> env = wanted;
  for (const std::string_view entry : kDefaultEnv) {
    const std::string_view name = entry.substr(0, entry.find('=') + 1);
    if (std::none_of(wanted.begin(), wanted.end(),
                     [&](const std::string& w) { return w.starts_with(name); })) {
      env.emplace_back(entry);
    }
  }
  return env;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& s : strings)
    result.push_back(s.data());
  result.push_back(nullptr);
  return result;
}

// The child's part, between fork and exec, where only async-signal-safe calls are allowed. Returns only on
// failure, with errno set.
void exec_in_child(const CommandRequest& request, int in, int out, int err, char** argv, char** env) {
  sigset_t none;
  sigemptyset(&none);
  for (int signal = 1; signal < 32; ++signal)
    ::signal(signal, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
  if (request.tty && ::ioctl(in, TIOCSCTTY, 0) < 0) return;
  if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) return;
  if (::chdir(request.cwd.c_str()) < 0) return;
  ::environ = env;  // execvp() searches the PATH of the environment that the command gets
  ::execvp(argv[0], argv);
}

}  // namespace

Result<CommandRequest> parse_command(std::string_view json) {
  const auto doc = nlohmann::json::parse(json, nullptr, false);
  if (!doc.is_object()) return fail("cannot parse kExecStart: not a JSON object");
  CommandRequest request;
  const auto strings = [&](const char* key, std::vector<std::string>& to) {
    if (!doc.contains(key)) return true;
    if (!doc[key].is_array()) return false;
    for (const auto& item : doc[key]) {
      const auto* text = item.get_ptr<const std::string*>();
      // exec() would cut the string off at a zero byte.
      if (text == nullptr || text->find('\0') != std::string::npos) return false;
      to.push_back(*text);
    }
    return true;
  };
  if (!strings("argv", request.argv) || request.argv.empty())
    return fail("kExecStart: \"argv\" must be a list of strings that is not empty");
  if (!strings("env", request.env)) return fail("kExecStart: \"env\" must be a list of strings");
  if (doc.contains("cwd") && doc["cwd"].is_string()) request.cwd = *doc["cwd"].get_ptr<const std::string*>();
  if (doc.contains("tty") && doc["tty"].is_boolean()) request.tty = doc["tty"].get<bool>();
  if (doc.contains("rows") && doc["rows"].is_number_unsigned())
    request.rows = doc["rows"].get<unsigned short>();
  if (doc.contains("cols") && doc["cols"].is_number_unsigned())
    request.cols = doc["cols"].get<unsigned short>();
  return request;
}

Result<Command> spawn(const CommandRequest& request) {
  Command command;
  Pipe terminal, in, out, err;
  if (request.tty) {
    GB_ASSIGN(terminal, open_terminal(request.rows, request.cols));
  } else {
    GB_ASSIGN(in, make_pipe());
    GB_ASSIGN(out, make_pipe());
    GB_ASSIGN(err, make_pipe());
  }
  GB_ASSIGN(Pipe failure, make_pipe());
  std::vector<std::string> args = request.argv;
  std::vector<std::string> env = merge_env(request.env);
  const std::vector<char*> arg_pointers = pointers(args);
  const std::vector<char*> env_pointers = pointers(env);

  command.pid = ::fork();
  if (command.pid < 0) return fail_errno(errno, "cannot fork");
  if (command.pid == 0) {
    const int tty = terminal.write.get();
    exec_in_child(request, request.tty ? tty : in.read.get(), request.tty ? tty : out.write.get(),
                  request.tty ? tty : err.write.get(), const_cast<char**>(arg_pointers.data()),
                  const_cast<char**>(env_pointers.data()));
    const int errnum = errno;
    write_once(failure.write.get(), &errnum, sizeof(errnum));
    ::_exit(127);
  }

  failure.write.reset();
  int errnum = 0;
  ssize_t got = 0;
  do {
    got = ::read(failure.read.get(), &errnum, sizeof(errnum));
  } while (got < 0 && errno == EINTR);
  if (got == sizeof(errnum)) {
    ::waitpid(command.pid, nullptr, 0);
    return fail_errno(errnum, "{}", request.argv[0]);
  }

  command.pid_fd.reset(static_cast<int>(::syscall(SYS_pidfd_open, command.pid, 0)));
  if (!command.pid_fd) return fail_errno(errno, "cannot watch process {}", command.pid);
  command.stdin_fd = std::move(in.write);
  command.stdout_fd = request.tty ? std::move(terminal.read) : std::move(out.read);
  command.stderr_fd = std::move(err.read);
  for (const int fd : {command.stdin_fd.get(), command.stdout_fd.get(), command.stderr_fd.get()}) {
    if (fd >= 0) set_nonblocking(fd);
  }
  return command;
}

}  // namespace glassbox::agent
