#include "guest/agent/server.h"

#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include <csignal>
#include <cstring>
#include <span>

namespace glassbox::agent {

Status Server::run() {
  std::vector<pollfd> fds;
  std::vector<std::size_t> ends;  // index in fds after the last entry of each session
  for (;;) {
    fds = {{in_.exec_listener.get(), POLLIN, 0},
           {in_.trace_listener.get(), POLLIN, 0},
           {in_.signal_fd.get(), POLLIN, 0},
           {in_.stop_fd.get(), POLLIN, 0}};
    ends.clear();
    for (CommandSession& session : sessions_) {
      session.collect(fds);
      ends.push_back(fds.size());
    }
    if (std::erase_if(sessions_, [](const CommandSession& s) { return s.finished(); }) > 0) continue;

    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return fail_errno(errno, "poll");
    if (fds[3].revents != 0) return {};
    if (fds[2].revents != 0) take_signals();
    std::size_t begin = 4;
    auto end = ends.begin();
    for (CommandSession& session : sessions_) {
      for (const pollfd& event : std::span(fds).subspan(begin, *end - begin))
        session.handle(event);
      begin = *end++;
      if (session.wants_power_off()) call_.power_off();
    }
    if (fds[0].revents != 0) accept_command();
    if (fds[1].revents != 0) accept_trace();
  }
}

bool comes_from_host(const sockaddr_storage& peer) {
  if (peer.ss_family != AF_VSOCK) return true;
  sockaddr_vm address{};
  std::memcpy(&address, &peer, sizeof(address));
  return address.svm_cid == VMADDR_CID_HOST;
}

UniqueFd Server::accept_from_host(const UniqueFd& listener) {
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  UniqueFd fd(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC));
  return fd && comes_from_host(peer) ? std::move(fd) : UniqueFd();
}

void Server::accept_command() {
  UniqueFd fd = accept_from_host(in_.exec_listener);
  if (fd) sessions_.emplace_back(std::move(fd));
}

void Server::accept_trace() {
  UniqueFd fd = accept_from_host(in_.trace_listener);
  if (fd) call_.trace_connection(std::move(fd));
}

void Server::take_signals() {
  signalfd_siginfo info{};
  while (::read(in_.signal_fd.get(), &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo == SIGCHLD) {
      reap_children();
    } else {
      call_.signal(static_cast<int>(info.ssi_signo));
    }
  }
}

// PID 1 inherits the orphans of the whole guest. WNOWAIT only looks, so that a session can reap its own
// command and keep the status.
void Server::reap_children() {
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0) return;
    bool of_session = false;
    for (CommandSession& session : sessions_) {
      if (session.pid() != info.si_pid) continue;
      session.reap();
      of_session = true;
    }
    if (!of_session) ::waitpid(info.si_pid, nullptr, 0);
  }
}

}  // namespace glassbox::agent
