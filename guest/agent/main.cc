// glassbox-agent: PID 1 of the default guest image, and the host's counterpart in the guest.
//
// As PID 1 it sets the system up (init.h), reaps orphans and obeys busybox's poweroff and reboot. Whatever
// its pid, it serves guest/protocol.h: commands (command_session.h) and traces (trace_session.h). Once it
// listens, it tells the host that it is ready.
//
// It takes no arguments. Another image can run it too: its init starts the agent as an ordinary daemon. If
// the kernel command line has glassbox.console=shell, the agent puts a shell on the console, which helps with
// a guest whose vsock does not work. Without that word, such a guest powers off, since nothing could use it.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <string_view>

#include "guest/agent/init.h"
#include "guest/agent/kernel_events.h"
#include "guest/agent/server.h"
#include "guest/agent/trace_session.h"
#include "vmm/base/socket_address.h"

namespace glassbox::agent {
namespace {

constexpr unsigned kHostCid = VMADDR_CID_HOST;
constexpr std::string_view kConsoleShell = "glassbox.console=shell";

Result<UniqueFd> listen_on(unsigned port) {
  UniqueFd fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "cannot make a vsock socket (is vmw_vsock_virtio_transport loaded?)");
  const sockaddr_vm address = vsock_address(VMADDR_CID_ANY, port);
  if (::bind(fd.get(), as_sockaddr(address), sizeof(address)) < 0 || ::listen(fd.get(), 64) < 0) {
    return fail_errno(errno, "cannot listen on vsock port {}", port);
  }
  return fd;
}

void announce(const std::string& failure) {
  const UniqueFd fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_vm address = vsock_address(kHostCid, protocol::kReadyPort);
  if (!fd || ::connect(fd.get(), as_sockaddr(address), sizeof(address)) < 0) {
    // Not an error: a host need not listen for it.
    say("cannot tell the host that the agent is ready: nothing listens on its vsock port {}",
        protocol::kReadyPort);
    return;
  }
  const std::string line =
      (failure.empty() ? protocol::kReadyLine
                       : protocol::kFailedLine + failure.substr(0, protocol::kMaxFailure)) +
      "\n";
  (void)::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL);
}

UniqueFd watch_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  // busybox's poweroff sends SIGUSR2, halt SIGUSR1, reboot SIGTERM; the kernel sends SIGINT for Ctrl-Alt-Del.
  for (const int signal : {SIGCHLD, SIGUSR1, SIGUSR2, SIGTERM, SIGINT})
    sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

void on_signal(int signal) {
  if (::getpid() != 1) ::_exit(128 + signal);
  if (signal == SIGTERM || signal == SIGINT) restart();
  power_off();
}

// Starts a shell on the console, again whenever it ends. No command session owns it, so PID 1 reaps it as it
// does orphans.
void start_console_shell() {
  if (!is_on_command_line(kConsoleShell) || ::fork() != 0) return;
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
  const int tty = ::open("/dev/console", O_RDWR);
  ::ioctl(tty, TIOCSCTTY, 1);
  for (int fd = 0; fd < 3; ++fd)
    ::dup2(tty, fd);
  ::execl("/bin/sh", "sh", "-c", "while :; do sh -l; done", nullptr);
  ::_exit(127);
}

int run() {
  UniqueFd signals = watch_signals();
  std::string failure;
  if (::getpid() == 1) {
    failure = init_system();
    if (!failure.empty()) say("{}", failure);
    start_console_shell();
  }
  auto exec_listener = listen_on(protocol::kExecPort);
  auto trace_listener = listen_on(protocol::kTracePort);
  for (const auto* listener : {&exec_listener, &trace_listener}) {
    if (!*listener) say("{}", listener->error().message);
  }
  const bool reachable = exec_listener.has_value() && trace_listener.has_value();
  if (!reachable && ::getpid() != 1) return 125;
  if (!reachable && !is_on_command_line(kConsoleShell)) {
    say("the host cannot reach this guest, so it powers off; a kernel whose modules are not in the image has no "
        "vsock (glassbox.console=shell gives a shell instead)");
    power_off();
  }

  TraceSessions traces({.make_source = make_kernel_events});
  Server server({.exec_listener = reachable ? std::move(*exec_listener) : UniqueFd(),
                 .trace_listener = reachable ? std::move(*trace_listener) : UniqueFd(),
                 .signal_fd = std::move(signals),
                 .stop_fd = UniqueFd()},
                {.trace_connection = [&](UniqueFd fd) { traces.start(std::move(fd)); },
                 .power_off = power_off,
                 .signal = on_signal});
  if (reachable) announce(failure);
  const Status status = server.run();
  say("{}", status ? "the server has stopped" : status.error().message);
  return 125;
}

}  // namespace
}  // namespace glassbox::agent

int main() {
  return glassbox::agent::run();
}
