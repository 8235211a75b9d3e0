#include "tests/delays/server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>

#include "tools/bench/stacks/echo.h"

namespace glassbox::delays {
namespace {

// The kernel stamps arrivals with CLOCK_REALTIME.
std::int64_t realtime_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

void set_option(int fd, int level, int name, int value) {
  ::setsockopt(fd, level, name, &value, sizeof(value));
}

// Reads one byte and returns when it arrived; 0 if none did.
std::int64_t receive_request(int fd) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[128];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  if (::recvmsg(fd, &message, 0) != 1) return 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
    timespec at{};
    std::copy_n(CMSG_DATA(c), sizeof(at), reinterpret_cast<unsigned char*>(&at));
    return at.tv_sec * 1'000'000'000 + at.tv_nsec;
  }
  return 0;
}

// A connection that stays in the backlog.
UniqueFd idle_connection(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  (void)::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  return fd;
}

constexpr auto kBacklogFullFor = std::chrono::milliseconds(300);  // well before the second SYN, at 1 s

}  // namespace

DelayServer::DelayServer(ServerPlan plan)
    : plan_(std::move(plan)), listener_(*bench::listen_on_loopback(0)), port_(*bench::bound_port(listener_)) {
  if (plan_.full_backlog) ::listen(listener_.get(), 0);        // one connection fills it
  set_option(listener_.get(), SOL_SOCKET, SO_TIMESTAMPNS, 1);  // connections inherit it
  thread_ = std::thread([this] { run(); });
}

DelayServer::~DelayServer() {
  {
    const std::scoped_lock lock(mutex_);
    turn_ = Turn::kEnd;
  }
  changed_.notify_all();
  ::shutdown(listener_.get(), SHUT_RDWR);
  thread_.join();
}

void DelayServer::arm(bool delayed) {
  std::unique_lock lock(mutex_);
  delayed_ = delayed;
  turn_ = Turn::kArmed;
  changed_.notify_all();
  changed_.wait(lock, [this] { return turn_ != Turn::kArmed; });
}

void DelayServer::settle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return turn_ == Turn::kIdle; });
}

void DelayServer::become_ready() {
  {
    const std::scoped_lock lock(mutex_);
    if (turn_ != Turn::kEnd) turn_ = Turn::kReady;
  }
  changed_.notify_all();
}

UniqueFd DelayServer::accept_client(bool delayed) {
  const auto accept_now = [this] {
    return UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  };
  if (delayed && plan_.full_backlog) {
    const UniqueFd idle = idle_connection(port_);
    become_ready();
    std::this_thread::sleep_for(kBacklogFullFor);
    (void)accept_now();  // the idle connection
    return accept_now();
  }
  const bool polls = delayed && plan_.accept_sleep.count() > 0;
  ::fcntl(listener_.get(), F_SETFL, polls ? O_NONBLOCK : 0);
  if (!polls) {
    become_ready();
    return accept_now();
  }
  for (bool first = true;; first = false) {
    UniqueFd fd = accept_now();
    if (fd || errno != EAGAIN) return fd;
    if (first) become_ready();
    std::this_thread::sleep_for(plan_.accept_sleep);
  }
}

// Returns the delay that this side made, in ns.
std::int64_t DelayServer::serve(int fd, bool delayed, std::int64_t accepted_ns) {
  if (delayed && plan_.read_sleep.count() > 0) std::this_thread::sleep_for(plan_.read_sleep);
  const std::int64_t reads_ns = realtime_ns();
  const std::int64_t arrived_ns = receive_request(fd);
  if (arrived_ns == 0) return 0;
  std::int64_t delay_ns = 0;
  if (plan_.accept_sleep.count() > 0)
    delay_ns = std::max<std::int64_t>(0, accepted_ns - arrived_ns);
  else if (plan_.read_sleep.count() > 0)
    delay_ns = std::max<std::int64_t>(0, reads_ns - std::max(arrived_ns, accepted_ns));
  if (delayed && plan_.think.count() > 0) {
    const std::int64_t begin_ns = realtime_ns();
    std::this_thread::sleep_for(plan_.think);
    delay_ns = realtime_ns() - begin_ns;
  }
  if (plan_.before_reply) plan_.before_reply(fd, delayed);
  ::send(fd, "A", 1, MSG_NOSIGNAL);
  if (plan_.split_reply) {
    ::send(fd, "B", 1, MSG_NOSIGNAL);
    char byte = 0;
    (void)!::read(fd, &byte, 1);  // let the client close first: close() would flush what Nagle holds back
  }
  return delay_ns;
}

void DelayServer::run() {
  for (;;) {
    bool delayed = false;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return turn_ == Turn::kArmed || turn_ == Turn::kEnd; });
      if (turn_ == Turn::kEnd) return;
      delayed = delayed_;
    }
    UniqueFd fd = accept_client(delayed);
    if (!fd) return;
    delays_.push_back(serve(fd.get(), delayed, realtime_ns()));
    fd.reset();
    {
      const std::scoped_lock lock(mutex_);
      if (turn_ == Turn::kEnd) return;
      turn_ = Turn::kIdle;
    }
    changed_.notify_all();
  }
}

}  // namespace glassbox::delays
