// An EventLoop that a test turns by hand. Everything on the test's thread.
#pragma once

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <vector>

#include "net/loop/event_loop.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::fake {

class TestLoop final : public net::EventLoop {
 public:
  TestLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

  Status add(int fd, std::uint32_t events, net::FdHandler* handler) override {
    epoll_event event{.events = events, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno(errno, "epoll_ctl");
    handlers_[fd] = handler;
    return {};
  }
  Status modify(int, std::uint32_t, net::FdHandler*) override { return fail("not used here"); }
  void remove(int fd) override {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    handlers_.erase(fd);
  }
  std::uint64_t now_ns() const override { return now_ns_; }
  void set_deadline(std::uint64_t) override {}
  void on_deadline(std::function<void()>) override {}
  void at_turn_end(std::function<void()> hook) override { turn_end_.push_back(std::move(hook)); }
  void before_wait(std::function<bool(net::BeforeWait)> hook) override {
    before_wait_.push_back(std::move(hook));
  }
  void bound_wait(std::uint64_t deadline_ns) override { bound_ns_ = net::earlier(bound_ns_, deadline_ns); }
  void mark_kick_fd(int fd) override { kick_fds.push_back(fd); }
  void post(std::function<void()> task) override { task(); }
  void post_and_wait(std::function<void()> task) override { task(); }
  void run() override {}
  void stop() override {}

  void pass(std::uint64_t ns) { now_ns_ += ns; }

  // One turn without sleeping. True if the loop would have slept (nothing was found before it).
  bool turn() {
    const bool may_sleep = ask_hooks(net::BeforeWait::kArm);
    poll(0);
    return may_sleep;
  }

  // Turns until done() holds, sleeping where the loop would; false when it would sleep for ever (5 s is for a
  // broken test only, nothing waits that long). Time passes only here: to the end of a bounded wait.
  bool turn_until(const std::function<bool()>& done) {
    while (!done()) {
      const bool may_sleep = ask_hooks(net::BeforeWait::kArm);
      if (done()) break;
      const bool bounded = may_sleep && bound_ns_ != 0;
      if (bounded) now_ns_ = std::max(now_ns_, bound_ns_);
      if (poll(may_sleep && !bounded ? 5000 : 0) == 0 && may_sleep && !bounded) return done();
    }
    return true;
  }

  // Did the hooks bound the last wait?
  bool bounded() const { return bound_ns_ != 0; }

  // As a spin does between two looks.
  bool look() { return ask_hooks(net::BeforeWait::kLook); }

  [[nodiscard]] std::size_t registered() const { return handlers_.size(); }

  std::vector<int> kick_fds;

 private:
  bool ask_hooks(net::BeforeWait what) {
    bound_ns_ = 0;
    bool may_sleep = true;
    for (auto& hook : before_wait_)
      may_sleep &= hook(what);
    return may_sleep;
  }
  int poll(int timeout_ms) {
    std::array<epoll_event, 64> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
    for (int i = 0; i < count; ++i) {
      const auto it = handlers_.find(events[static_cast<std::size_t>(i)].data.fd);
      if (it != handlers_.end()) it->second->on_fd_ready(events[static_cast<std::size_t>(i)].events);
    }
    for (auto& hook : turn_end_)
      hook();
    return count;
  }

  UniqueFd epoll_;
  std::map<int, net::FdHandler*> handlers_;
  std::vector<std::function<void()>> turn_end_;
  std::vector<std::function<bool(net::BeforeWait)>> before_wait_;
  std::uint64_t now_ns_ = 1;
  std::uint64_t bound_ns_ = 0;
};

}  // namespace glassbox::fake
