#include "tools/bench/process/watch.h"

#include <poll.h>
#include <sys/signalfd.h>

#include <chrono>

namespace glassbox::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kTickMs = 250;  // four wake-ups a second are all that a running workload sees of us

}  // namespace

Result<Watch> Watch::create() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP})
    ::sigaddset(&set, number);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) < 0) return fail_errno(errno, "sigprocmask");
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno(errno, "signalfd");
  return Watch(std::move(fd));
}

// Looks again when asked: a signal to the whole group may end a child, and be told of it, before we look
// here.
int Watch::signal() {
  signalfd_siginfo info{};
  if (signal_ == 0 && ::read(signals_.get(), &info, sizeof(info)) == sizeof(info))
    signal_ = static_cast<int>(info.ssi_signo);
  return signal_;
}

Status Watch::loop(Child& child, int extra_fd, int limit_s, const Pulse& pulse,
                   const std::function<bool()>& done) {
  auto last_move = Clock::now();
  std::uint64_t last_pulse = pulse ? pulse() : 0;
  while (!done()) {
    std::vector<pollfd> fds{{signals_.get(), POLLIN, 0},
                            {child.pidfd(), POLLIN, 0},
                            {child.out_fd(), POLLIN, 0},
                            {child.err_fd(), POLLIN, 0},
                            {extra_fd, POLLIN, 0}};
    for (const Child* other : background_) {
      if (other == &child) continue;
      for (const int fd : {other->pidfd(), other->out_fd(), other->err_fd()})
        fds.push_back({fd, POLLIN, 0});
    }
    if (::poll(fds.data(), fds.size(), kTickMs) < 0 && errno != EINTR) return fail_errno(errno, "poll");

    if (signal() != 0) return tl::unexpected<Error>(Error{"interrupted", EINTR});
    child.take_output();
    for (Child* other : background_) {
      other->take_output();
      if (other != &child && other->reap()) return fail("{}", other->how_it_ended());
    }
    const auto now = Clock::now();
    if (pulse) {
      if (const std::uint64_t value = pulse(); value != last_pulse) {
        last_pulse = value;
        last_move = now;
      }
    }
    if (now - last_move > std::chrono::seconds(limit_s)) {
      return tl::unexpected<Error>(
          Error{fmt::format("{} did not move for {} s; given up", child.what(), limit_s), ETIMEDOUT});
    }
  }
  return {};
}

Result<ExitStatus> Watch::wait(Child& child, int stall_s, const Pulse& pulse) {
  std::optional<ExitStatus> status;
  GB_TRY(loop(child, -1, stall_s, pulse, [&] {
    status = child.reap();
    return status.has_value();
  }));
  return *status;
}

Status Watch::check_background(int patience_ms) {
  std::vector<pollfd> fds;
  for (const Child* child : background_)
    fds.push_back({child->pidfd(), POLLIN, 0});
  if (::poll(fds.data(), fds.size(), patience_ms) < 0 && errno != EINTR) return fail_errno(errno, "poll");
  for (Child* child : background_) {
    child->take_output();
    if (child->reap()) return fail("{}", child->how_it_ended());
  }
  return {};
}

Status Watch::wait_readable(int fd, Child& owner, int limit_s) {
  bool readable = false;
  GB_TRY(loop(owner, fd, limit_s, {}, [&] {
    pollfd ready{fd, POLLIN, 0};
    readable = ::poll(&ready, 1, 0) > 0;
    return readable || owner.reap();
  }));
  if (!readable) return fail("{}", owner.how_it_ended());
  return {};
}

Status Watch::wait_output(Child& child, int limit_s) {
  bool ended = false;
  GB_TRY(loop(child, -1, limit_s, {}, [&] {
    ended = child.reap().has_value();
    return ended || !child.out().empty() || !child.err().empty();
  }));
  if (ended) return fail("{}", child.how_it_ended());
  return {};
}

}  // namespace glassbox::bench
