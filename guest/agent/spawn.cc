#include "guest/agent/spawn.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "vmm/base/io.h"
#include "vmm/base/start_process.h"

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

// Appends strings that each end in a zero byte; false if the last one does not.
bool split_strings(std::string_view bytes, std::vector<std::string>& to) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\0');
    if (end == std::string_view::npos) return false;
    to.emplace_back(bytes.substr(0, end));
    bytes.remove_prefix(end + 1);
  }
  return true;
}

}  // namespace

Result<CommandRequest> parse_command(std::string_view json, const CommandStrings& before) {
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
  if (!split_strings(before.arguments, request.argv) || !split_strings(before.environment, request.env))
    return fail("kExecStart: the words before it do not end in a zero byte");
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
  ProcessSpec spec{.argv = request.argv, .env = merge_env(request.env), .directory = request.cwd};
  if (request.tty) {
    spec.terminal = terminal.write.get();
    spec.stdio = {spec.terminal, spec.terminal, spec.terminal};
  } else {
    spec.stdio = {in.read.get(), out.write.get(), err.write.get()};
  }
  auto process = start_process(spec);
  if (!process) return fail_errno(process.error().code, "{}", request.argv[0]);
  if (!process->pidfd) return fail_errno(errno, "cannot watch process {}", process->pid);
  command.pid = process->pid;
  command.pid_fd = std::move(process->pidfd);
  command.stdin_fd = std::move(in.write);
  command.stdout_fd = request.tty ? std::move(terminal.read) : std::move(out.read);
  command.stderr_fd = std::move(err.read);
  for (const int fd : {command.stdin_fd.get(), command.stdout_fd.get(), command.stderr_fd.get()}) {
    if (fd >= 0) set_nonblocking(fd);
  }
  return command;
}

}  // namespace glassbox::agent
