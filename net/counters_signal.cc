#include "net/counters_signal.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>

#include "vmm/base/say.h"

namespace glassbox::net {
namespace {

sigset_t counters_signal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  return set;
}

}  // namespace

void block_counters_signal() {
  const sigset_t set = counters_signal();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

Result<std::unique_ptr<CountersOnSignal>> CountersOnSignal::create(EventLoop& loop, const Nat& nat) {
  block_counters_signal();
  const sigset_t set = counters_signal();
  UniqueFd fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd) return fail_errno(errno, "signalfd");
  std::unique_ptr<CountersOnSignal> handler(new CountersOnSignal(loop, nat, std::move(fd)));
  GB_TRY(loop.add(handler->fd_.get(), EPOLLIN, handler.get()));
  return handler;
}

void CountersOnSignal::on_fd_ready(std::uint32_t /*events*/) {
  signalfd_siginfo info{};
  while (::read(fd_.get(), &info, sizeof(info)) == sizeof(info))
    say(stderr, to_text(nat_.counters()));
}

}  // namespace glassbox::net
