#include "net/loop/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "vmm/base/unique_fd.h"

namespace glassbox::net {
namespace {

class RecordingFdHandler : public FdHandler {
 public:
  explicit RecordingFdHandler(std::function<void(std::uint32_t)> action) : action_(std::move(action)) {}
  void on_fd_ready(std::uint32_t events) override {
    ++calls;
    action_(events);
  }
  int calls = 0;

 private:
  std::function<void(std::uint32_t)> action_;
};

UniqueFd make_event(unsigned value) {
  return UniqueFd(::eventfd(value, EFD_NONBLOCK | EFD_CLOEXEC));
}

std::unique_ptr<EventLoop> make_loop() {
  return std::move(*EventLoop::create(ProbeMode::kNetPoll));
}

TEST(EventLoop, DeliversEdgesOnce) {
  auto loop = make_loop();
  UniqueFd fd = make_event(1);
  RecordingFdHandler handler([](std::uint32_t) {});
  ASSERT_TRUE(loop->add(fd.get(), EPOLLIN | EPOLLET, &handler));
  int turns = 0;
  loop->before_wait([](BeforeWait) { return false; });
  loop->at_turn_end([&] {
    if (++turns == 5) loop->stop();
  });
  loop->run();
  EXPECT_EQ(turns, 5);
  EXPECT_EQ(handler.calls, 1);
}

TEST(EventLoop, RemovedHandlerGetsNoMoreEventsOfTheTurn) {
  auto loop = make_loop();
  UniqueFd first = make_event(1);
  UniqueFd second = make_event(1);
  RecordingFdHandler* pair[2] = {};
  RecordingFdHandler a([&](std::uint32_t) { loop->remove(second.get()); });
  RecordingFdHandler b([&](std::uint32_t) { loop->remove_closing(first.get()); });
  pair[0] = &a;
  pair[1] = &b;
  ASSERT_TRUE(loop->add(first.get(), EPOLLIN | EPOLLET, &a));
  ASSERT_TRUE(loop->add(second.get(), EPOLLIN | EPOLLET, &b));
  loop->at_turn_end([&] { loop->stop(); });
  loop->run();
  EXPECT_EQ(pair[0]->calls + pair[1]->calls, 1);
}

TEST(EventLoop, EventOfAReusedFdNumberIsNotMistaken) {
  auto loop = make_loop();
  UniqueFd first = make_event(1);
  UniqueFd second = make_event(1);
  RecordingFdHandler fresh([](std::uint32_t) {});
  int replaced = -1;
  auto replace = [&](UniqueFd& victim) {
    if (replaced >= 0) return;
    replaced = victim.get();
    loop->remove_closing(victim.get());
    victim.reset();
    victim = make_event(0);  // the lowest free number: the same one
    ASSERT_EQ(victim.get(), replaced);
    ASSERT_TRUE(loop->add(victim.get(), EPOLLIN | EPOLLET, &fresh));
  };
  RecordingFdHandler a([&](std::uint32_t) { replace(second); });
  RecordingFdHandler b([&](std::uint32_t) { replace(first); });
  ASSERT_TRUE(loop->add(first.get(), EPOLLIN | EPOLLET, &a));
  ASSERT_TRUE(loop->add(second.get(), EPOLLIN | EPOLLET, &b));
  loop->at_turn_end([&] { loop->stop(); });
  loop->run();
  EXPECT_EQ(fresh.calls, 0);
}

TEST(EventLoop, DeadlineFiresOnceAndNotBeforeItsTime) {
  auto loop = make_loop();
  int fired = 0;
  std::uint64_t fired_at = 0;
  const std::uint64_t due = loop->now_ns() + 3'000'000;
  loop->on_deadline([&] {
    ++fired;
    fired_at = loop->now_ns();
    loop->stop();
  });
  loop->set_deadline(due);
  loop->run();
  EXPECT_EQ(fired, 1);
  EXPECT_GE(fired_at, due);
}

TEST(EventLoop, AHookMayBoundTheWait) {
  auto loop = make_loop();
  const std::uint64_t due = loop->now_ns() + 2'000'000;
  loop->set_deadline(due + 3'600'000'000'000);
  loop->before_wait([&](BeforeWait) {
    loop->bound_wait(due);
    return true;
  });
  loop->at_turn_end([&] {
    if (loop->now_ns() >= due) loop->stop();
  });
  loop->run();  // would sleep for an hour
  EXPECT_GE(loop->now_ns(), due);
}

TEST(EventLoop, WhatAHookFindsEndsASpinAndNothingIsArmed) {
  auto loop =
      std::move(*EventLoop::create(ProbeMode::kNetPoll, {.mode = PollConfig::Mode::kFixed, .spin_us = 1000}));
  UniqueFd fd = make_event(1);
  RecordingFdHandler handler([](std::uint32_t) {});
  ASSERT_TRUE(loop->add(fd.get(), EPOLLIN | EPOLLET, &handler));
  std::vector<BeforeWait> asked;
  loop->before_wait([&](BeforeWait what) {
    asked.push_back(what);
    return asked.size() == 1;  // the first turn may sleep, and has an event
  });
  int turns = 0;
  loop->at_turn_end([&] {
    if (++turns == 3) loop->stop();
  });
  loop->run();
  // Work of a hook is work: the third turn spins as the second one did.
  EXPECT_EQ(asked, (std::vector<BeforeWait>{BeforeWait::kArm, BeforeWait::kLook, BeforeWait::kLook}));
}

TEST(EventLoop, AllBeforeWaitHooksRunAndOneVetoPreventsSleep) {
  auto loop = make_loop();
  int first = 0;
  int second = 0;
  loop->before_wait([&](BeforeWait) {
    ++first;
    return false;
  });
  loop->before_wait([&](BeforeWait) {
    ++second;
    return true;
  });
  loop->at_turn_end([&] { loop->stop(); });
  loop->run();  // would sleep for ever if the veto were lost
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 1);
}

TEST(EventLoop, ReadyEventsCountsHandlersOnly) {
  auto loop = make_loop();
  UniqueFd fd = make_event(1);
  RecordingFdHandler handler([](std::uint32_t) {});
  ASSERT_TRUE(loop->add(fd.get(), EPOLLIN | EPOLLET, &handler));
  loop->mark_kick_fd(fd.get());
  loop->post([] {});  // its wake-up does not count as an event
  std::uint32_t ready = 0;
  loop->at_turn_end([&] {
    ready = loop->ready_events();
    loop->stop();
  });
  loop->run();
  EXPECT_EQ(ready, 1U);
}

TEST(EventLoop, PostAndWaitRunsOnTheOwner) {
  auto loop = make_loop();
  std::thread owner([&] { loop->run(); });
  std::vector<std::thread> posters;
  int count = 0;  // no atomic: the owner alone touches it
  std::atomic<int> wrong_thread{0};
  const auto owner_id = owner.get_id();
  for (int i = 0; i < 4; ++i) {
    posters.emplace_back([&] {
      for (int n = 0; n < 100; ++n) {
        loop->post_and_wait([&] { ++count; });
        loop->post([&] { ++count; });
      }
    });
  }
  for (auto& poster : posters)
    poster.join();
  loop->post_and_wait([&] {
    if (std::this_thread::get_id() != owner_id) ++wrong_thread;
    loop->post_and_wait([&] { ++count; });  // from the owner: at once
  });
  loop->stop();
  owner.join();
  EXPECT_EQ(count, 801);
  EXPECT_EQ(wrong_thread, 0);
}

TEST(EventLoop, PostAfterTheEndRunsAtOnce) {
  auto loop = make_loop();
  loop->stop();
  loop->run();
  int count = 0;
  loop->post([&] { ++count; });
  loop->post_and_wait([&] { ++count; });
  EXPECT_EQ(count, 2);
}

TEST(EventLoop, PostAndWaitBeforeTheStartDoesNotHang) {
  auto loop = make_loop();
  std::vector<int> order;
  loop->post([&] { order.push_back(1); });
  loop->post_and_wait([&] { order.push_back(2); });
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(EventLoop, ErrorsName) {
  auto loop = make_loop();
  RecordingFdHandler handler([](std::uint32_t) {});
  EXPECT_FALSE(loop->add(-1, EPOLLIN, &handler));
  EXPECT_FALSE(loop->modify(99, EPOLLIN, &handler));
}

}  // namespace
}  // namespace glassbox::net
