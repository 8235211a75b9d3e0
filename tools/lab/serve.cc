// Theory of operation.
//
// Accepts connections and gives each a process of its own (session.h). As PID 1 it also reaps orphans.
// SIGTERM means "power off": every process gets SIGTERM, then SIGKILL, then the file systems are synced.
//
// Heartbeat: four times a second a thread of the daemon visits each CPU, which sends that CPU an interrupt.
// The reason is a defect of QEMU 10.0. When it enters a nested guest with a virtual interrupt pending
// (target/i386, helper_vmrun), it sets a flag in a word of the emulated CPU without the lock and may undo
// what a device set there at that moment. (Later versions do it atomically.) The CPU then sees no interrupt
// until the next one comes. A CPU that waits for its timer would wait forever; the heartbeat ends that within
// a quarter of a second.
//
// Idle: no process exists except kernel threads and this one. A VM that a detached command left running is a
// process, so the time-out never stops a machine that is in use.
#include "tools/lab/serve.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "tools/lab/health.h"
#include "tools/lab/io.h"
#include "tools/lab/session.h"

namespace glassbox::lab {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kBeat = std::chrono::milliseconds(250);
constexpr int kLookEveryMs = 10'000;
constexpr int kTermGraceMs = 3000;

Result<UniqueFd> listen_on(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), 64) != 0) {
    return fail_errno(errno, "cannot listen on port {}", port);
  }
  return fd;
}

// User processes (kernel threads have no executable), without this one.
bool user_processes_exist() {
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return true;
  bool found = false;
  while (const dirent* entry = ::readdir(proc)) {
    const auto pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (pid <= 1 || pid == ::getpid()) continue;
    std::ifstream command("/proc/" + std::string(entry->d_name) + "/cmdline");
    if (command.peek() != std::ifstream::traits_type::eof()) found = true;
  }
  ::closedir(proc);
  return found;
}

void reap() {
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

[[noreturn]] void power_off() {
  ::kill(-1, SIGTERM);
  ::kill(-1, SIGCONT);
  for (int waited_ms = 0; waited_ms < kTermGraceMs && user_processes_exist(); waited_ms += 50) {
    ::usleep(50'000);
    reap();
  }
  ::kill(-1, SIGKILL);
  ::sync();
  ::reboot(RB_POWER_OFF);
  ::_exit(1);
}

void accept_one(int listener, const std::string& token, const std::string& host_file) {
  UniqueFd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) return;
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::fork() != 0) return;
  ::close(listener);
  ::setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  serve_session(std::move(socket), token, host_file);
  ::_exit(0);
}

}  // namespace

Status serve(const ServeOptions& options) {
  const bool is_init = ::getpid() == 1;
  std::signal(SIGPIPE, SIG_IGN);
  GB_ASSIGN(const std::string token, read_token(options.token_file));
  GB_ASSIGN(const UniqueFd listener, listen_on(options.port));
  GB_ASSIGN(const UniqueFd signals, signal_fd({SIGTERM, SIGINT, SIGCHLD}));
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("lab: ready on port %d\n", ntohs(address.sin_port));
  std::fflush(stdout);

  if (is_init) {
    std::thread([] {
      for (;; std::this_thread::sleep_for(kBeat))
        visit_every_cpu();
    }).detach();
  }
  auto last_use = Clock::now();
  while (true) {
    std::array<pollfd, 2> fds{{{listener.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), kLookEveryMs);
    signalfd_siginfo info{};
    while (::read(signals.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGCHLD) continue;
      if (is_init) power_off();
      return {};
    }
    reap();
    if ((fds[0].revents & POLLIN) != 0) accept_one(listener.get(), token, options.token_file);
    if (user_processes_exist()) last_use = Clock::now();
    if (options.idle_s > 0 && Clock::now() - last_use > std::chrono::seconds(options.idle_s) && is_init) {
      std::puts("lab: idle for too long, powering off");
      power_off();
    }
  }
}

}  // namespace glassbox::lab
