// glassbox netns: runs a command in a network namespace behind the NAT, without a guest.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <cstdlib>

#include "net/link/tap_port.h"
#include "net/nat.h"
#include "net/netns/netns.h"
#include "vmm/base/clock.h"
#include "vmm/base/descriptor_limit.h"
#include "vmm/base/say.h"
#include "vmm/cli/command.h"
#include "vmm/cli/drain_message.h"
#include "vmm/cli/network_options.h"

namespace glassbox::cli {
namespace {

using net::EventLoop;

// When the command has ended, lets the NAT deliver what it has sent, then ends the loop.
class ChildWatch final : public net::FdHandler {
 public:
  ChildWatch(EventLoop& loop, net::Nat& nat, std::uint32_t linger_s, int pid_fd, pid_t pid)
      : loop_(loop), nat_(nat), linger_s_(linger_s), pid_fd_(pid_fd), pid_(pid) {}
  void on_fd_ready(std::uint32_t /*events*/) override {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return;
    exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    ended = true;
    loop_.remove(pid_fd_);  // it stays readable
    nat_.begin_drain(net::GuestEnd::kCommand, linger_s_ * kNsPerSecond,
                     [this](net::Drain::Event event, const net::Undelivered& left) {
                       tell_of_drain(event, left, "the command");
                       if (event != net::Drain::Event::kWaits) loop_.stop();
                     });
  }
  bool ended = false;
  int exit_status = kExitOurFailure;

 private:
  EventLoop& loop_;
  net::Nat& nat_;
  const std::uint32_t linger_s_;
  const int pid_fd_;
  pid_t pid_;
};

// Lets SIGTSTP have its default action, as if this process did not handle it: it stops until SIGCONT, unless
// its process group is orphaned.
void stop_here() {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  ::raise(SIGTSTP);
  ::sigprocmask(SIG_UNBLOCK, &stop, nullptr);
  ::sigprocmask(SIG_BLOCK, &stop, nullptr);
}

// Passes signals on to the command, except those from the terminal, which the command gets itself as a member
// of the same process group, and SIGUSR1, which prints the NAT's counters. If the command is stopped, this
// process stops too, so that a shell sees the whole job stop; SIGCONT continues both. After the command's end
// a signal that asks for an end cuts the delivery of its data short.
class SignalRelay final : public net::FdHandler {
 public:
  SignalRelay(int fd, pid_t pid, net::Nat& nat, const ChildWatch& child)
      : fd_(fd), pid_(pid), nat_(nat), child_(child) {}
  void on_fd_ready(std::uint32_t /*events*/) override {
    signalfd_siginfo info{};
    while (::read(fd_, &info, sizeof(info)) == sizeof(info)) {
      if (info.ssi_signo == SIGUSR1) {
        say(stderr, net::to_text(nat_.counters()));
      } else if (child_.ended) {
        if (asks_for_end(info.ssi_signo)) nat_.abandon_drain();
      } else if (info.ssi_code != SI_KERNEL) {
        ::kill(pid_, static_cast<int>(info.ssi_signo));
      }
      if (info.ssi_signo == SIGTSTP) stop_here();
    }
  }

 private:
  static bool asks_for_end(std::uint32_t number) {
    return number == SIGHUP || number == SIGINT || number == SIGQUIT || number == SIGTERM;
  }
  int fd_;
  pid_t pid_;
  net::Nat& nat_;
  const ChildWatch& child_;
};

sigset_t relayed_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT})
    sigaddset(&set, number);
  return set;
}

Result<int> netns(const std::vector<std::string>& command, const net::NatConfig& config) {
  const sigset_t relayed = relayed_signals();
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, &relayed, &before);
  GB_ASSIGN(auto child, net::start_in_namespace(command, config, before));
  raise_descriptor_limit();

  GB_ASSIGN(auto loop, EventLoop::create(net::ProbeMode::kNetPoll, config.poll));
  GB_ASSIGN(auto port, net::TapPort::create(std::move(child.tap), *loop));
  GB_ASSIGN(auto nat, net::Nat::create(config, *loop, *port));
  ChildWatch watch(*loop, *nat, config.linger_s, child.pid_fd.get(), child.pid);
  GB_TRY(loop->add(child.pid_fd.get(), EPOLLIN, &watch));
  const UniqueFd signals(::signalfd(-1, &relayed, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals) return fail_errno(errno, "signalfd");
  SignalRelay relay(signals.get(), child.pid, *nat, watch);
  GB_TRY(loop->add(signals.get(), EPOLLIN, &relay));

  const char go = 1;
  if (::write(child.go.get(), &go, 1) != 1) return fail_errno(errno, "cannot start the command");
  loop->run();
  if (loop->error() != 0) return kExitOurFailure;  // it has said why
  return watch.exit_status;
}

}  // namespace

void add_netns(Cli& cli) {
  auto config = std::make_shared<net::NatConfig>();
  options::App* command =
      cli.app.add_subcommand("netns", "Run a command in a network namespace behind the NAT");
  add_network_options(cli, *command, *config);
  command->footer(
      "netns [OPTIONS] -- CMD ARGS...: without CMD, a shell. Needs /dev/net/tun, and user namespaces where "
      "the caller is not root.\nSIGUSR1 prints what the NAT has counted. Exit status: the command's own, "
      "128+n "
      "if signal n ended it, 127 not found, 126 cannot be run, 125 glassbox failed.");
  command->callback([&cli, config] {
    cli.action = [&cli, config] {
      if (cli.command.empty()) {
        const char* shell = std::getenv("SHELL");
        cli.command = {shell != nullptr ? shell : "/bin/sh"};
      }
      const auto status = netns(cli.command, *config);
      return status ? *status : report(status.error(), kExitOurFailure);
    };
  });
}

}  // namespace glassbox::cli
