// An event loop on virtual time: host sockets are real, the clock is not. Time passes only when the test
// moves it, so a minute of retransmissions takes no time, and a run depends on its inputs alone.
#pragma once

#include <sys/epoll.h>

#include <functional>
#include <map>
#include <vector>

#include "net/loop/event_loop.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

class VirtualLoop final : public EventLoop {
 public:
  VirtualLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

  // Delivers what is ready now, runs what is due, ends the turn. False if no socket had anything.
  bool turn() {
    std::array<epoll_event, 16> events;
    const int n = ::epoll_wait(epoll_.get(), events.data(), events.size(), 0);
    for (int i = 0; i < n; ++i) {
      const auto found = handlers_.find(events[static_cast<std::size_t>(i)].data.fd);
      if (found != handlers_.end()) found->second->on_fd_ready(events[static_cast<std::size_t>(i)].events);
    }
    if (deadline_ns_ != 0 && deadline_ns_ <= now_ns_) {
      deadline_ns_ = 0;
      on_deadline_();
    }
    for (const auto& hook : turn_end_)
      hook();
    return n > 0;
  }
  void advance_to(std::uint64_t ns) { now_ns_ = std::max(now_ns_, ns); }
  [[nodiscard]] std::uint64_t deadline_ns() const { return deadline_ns_; }
  [[nodiscard]] std::size_t watched() const { return handlers_.size(); }

  Status add(int fd, std::uint32_t events, FdHandler* handler) override {
    return control(EPOLL_CTL_ADD, fd, events, handler);
  }
  Status modify(int fd, std::uint32_t events, FdHandler* handler) override {
    return control(EPOLL_CTL_MOD, fd, events, handler);
  }
  void remove(int fd) override {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    handlers_.erase(fd);
  }
  [[nodiscard]] std::uint64_t now_ns() const override { return now_ns_; }
  void set_deadline(std::uint64_t deadline_ns) override { deadline_ns_ = deadline_ns; }
  void on_deadline(std::function<void()> callback) override { on_deadline_ = std::move(callback); }
  void at_turn_end(std::function<void()> hook) override { turn_end_.push_back(std::move(hook)); }
  void before_wait(std::function<bool(BeforeWait)> /*may_sleep*/) override {}
  void bound_wait(std::uint64_t /*deadline_ns*/) override {}
  void mark_kick_fd(int /*fd*/) override {}
  void post(std::function<void()> task) override { task(); }
  void post_and_wait(std::function<void()> task) override { task(); }
  void run() override {}
  void stop() override {}

 private:
  Status control(int operation, int fd, std::uint32_t events, FdHandler* handler) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) return fail_errno(errno, "epoll_ctl");
    handlers_[fd] = handler;
    return {};
  }
  UniqueFd epoll_;
  std::map<int, FdHandler*> handlers_;
  std::vector<std::function<void()>> turn_end_;
  std::function<void()> on_deadline_ = [] {};
  std::uint64_t now_ns_ = 1'000'000'000;
  std::uint64_t deadline_ns_ = 0;
};

}  // namespace glassbox::net
