// Theory of operation: see event_loop.h. Registrations live in a table indexed by fd. An epoll event carries
// the fd and the generation of its registration, so an event for an fd that was removed earlier in the same
// turn (and perhaps opened again) meets another generation and is dropped. The table has its full capacity
// from the start, so registering allocates nothing. Tasks of other threads wait in a list under a mutex,
// which the loop takes only when the wake eventfd reports a task.
#include "net/loop/event_loop.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "bpf/probes.h"
#include "net/loop/epoll_waiter.h"
#include "vmm/base/clock.h"
#include "vmm/base/io.h"
#include "vmm/base/say.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {
namespace {

constexpr std::size_t kEventsPerTurn = 128;
constexpr std::size_t kMaxFds = 1U << 20;

// The data of the wake eventfd's events, which belong to no registration.
constexpr std::uint64_t kWakeTag = ~std::uint64_t{0};

constexpr std::uint64_t kForever = EpollWaiter::kForever;
constexpr std::uint64_t kLongestNs = 3600 * kNsPerSecond;

std::uint64_t thread_cpu_ns() {
  timespec spent{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return static_cast<std::uint64_t>(spent.tv_sec) * kNsPerSecond + static_cast<std::uint64_t>(spent.tv_nsec);
}

struct Registration {
  FdHandler* handler = nullptr;
  std::uint32_t generation = 0;
  bool kick = false;
};

class EpollLoop final : public EventLoop {
 public:
  EpollLoop(UniqueFd epoll, UniqueFd wake, ProbeMode probes, const PollConfig& poll)
      : epoll_(std::move(epoll)),
        wake_(std::move(wake)),
        probes_(probes),
        policy_(poll, thread_cpu_ns),
        now_ns_(monotonic_ns()) {
    rlimit limit{};
    std::size_t fds = 1024;
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) fds = static_cast<std::size_t>(limit.rlim_max);
    table_.reserve(std::min(fds, kMaxFds));  // address space only: untouched pages cost nothing
  }

  Status add(int fd, std::uint32_t events, FdHandler* handler) override {
    if (fd < 0) return fail("event loop: invalid file descriptor");
    const auto index = static_cast<std::size_t>(fd);
    if (index >= table_.size()) table_.resize(index + 1);
    Registration& slot = table_[index];
    ++slot.generation;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, event_for(fd, events, slot)) != 0) {
      return fail_errno(errno, "event loop: cannot watch file descriptor {}", fd);
    }
    slot.handler = handler;
    slot.kick = false;
    return {};
  }

  Status modify(int fd, std::uint32_t events, FdHandler* handler) override {
    Registration* slot = find(fd);
    if (slot == nullptr) return fail("event loop: file descriptor {} is not registered", fd);
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, event_for(fd, events, *slot)) != 0) {
      return fail_errno(errno, "event loop: cannot change file descriptor {}", fd);
    }
    slot->handler = handler;
    return {};
  }

  void remove(int fd) override {
    if (find(fd) == nullptr) return;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    remove_closing(fd);
  }

  void remove_closing(int fd) override {
    if (Registration* slot = find(fd)) {
      slot->handler = nullptr;
      ++slot->generation;
    }
  }

  std::uint64_t now_ns() const override { return now_ns_; }
  std::uint32_t ready_events() const override { return visible_events_; }
  void set_deadline(std::uint64_t deadline_ns) override { deadline_ns_ = deadline_ns; }
  void on_deadline(std::function<void()> callback) override { deadline_callback_ = std::move(callback); }
  void at_turn_end(std::function<void()> hook) override { turn_end_.push_back(std::move(hook)); }
  void before_wait(std::function<bool(BeforeWait)> may_sleep) override {
    before_wait_.push_back(std::move(may_sleep));
  }
  void bound_wait(std::uint64_t deadline_ns) override { bound_ns_ = earlier(bound_ns_, deadline_ns); }
  void mark_kick_fd(int fd) override {
    if (Registration* slot = find(fd)) slot->kick = true;
  }

  void post(std::function<void()> task) override {
    std::lock_guard lock(mutex_);
    if (state_ == State::kEnded) return task();
    tasks_.push_back(std::move(task));
    ++posted_;
    wake();
  }

  void post_and_wait(std::function<void()> task) override {
    std::unique_lock lock(mutex_);
    // If the loop does not run there is no owner to wait for. The mutex, which run() takes first, stands in
    // for the owner thread.
    if (state_ != State::kRunning || owner_ == std::this_thread::get_id()) {
      run_tasks(lock);
      return task();
    }
    tasks_.push_back(std::move(task));
    const std::uint64_t ticket = ++posted_;
    wake();
    task_done_.wait(lock, [&] { return done_ >= ticket; });
  }

  void run() override {
    {
      std::lock_guard lock(mutex_);
      owner_ = std::this_thread::get_id();
      state_ = State::kRunning;
    }
    while (!stop_.load(std::memory_order_acquire))
      turn();
    std::unique_lock lock(mutex_);
    state_ = State::kEnded;
    run_tasks(lock);
    stop_.store(false, std::memory_order_relaxed);
  }

  int error() const override { return error_; }

  void stop() override {
    stop_.store(true, std::memory_order_release);
    wake();
  }

 private:
  enum class State { kIdle, kRunning, kEnded };

  Registration* find(int fd) {
    const auto index = static_cast<std::size_t>(fd);
    if (fd < 0 || index >= table_.size() || table_[index].handler == nullptr) return nullptr;
    return &table_[index];
  }

  epoll_event* event_for(int fd, std::uint32_t events, const Registration& slot) {
    scratch_.events = events;
    scratch_.data.u64 = (static_cast<std::uint64_t>(slot.generation) << 32) | static_cast<std::uint32_t>(fd);
    return &scratch_;
  }

  void wake() { signal_event(wake_.get()); }

  // Asks all hooks, whatever the first one returns.
  bool hooks_let_sleep(BeforeWait what) {
    bool may_sleep = true;
    for (auto& hook : before_wait_)
      may_sleep &= hook(what);
    return may_sleep;
  }

  std::uint64_t until(std::uint64_t deadline_ns) const {
    return deadline_ns <= now_ns_ ? 0 : std::min(deadline_ns - now_ns_, kLongestNs);
  }

  // Arms the notifications and returns how long to wait; 0 if there is work already.
  std::uint64_t arm() {
    bound_ns_ = deadline_ns_;
    if (!hooks_let_sleep(BeforeWait::kArm)) return 0;
    return bound_ns_ == 0 ? kForever : until(bound_ns_);
  }

  // The number of events; 0 also if a signal ended the wait. An error that the next wait would meet again
  // ends the loop, because a turn that fails at once would spin for ever.
  int look(std::uint64_t wait_ns) {
    const int count = waiter_.wait(epoll_.get(), events_, wait_ns);
    if (count >= 0) return count;
    error_ = -count;
    say(stderr, fmt::format("glassbox: the event loop cannot wait for events: {}\n", std::strerror(-count)));
    stop_.store(true, std::memory_order_release);
    return 0;
  }

  // Looks without sleeping until there is an event, a hook has work, or budget_ns are over. Between two looks
  // it offers its core to other threads.
  int spin(std::uint64_t budget_ns) {
    const std::uint64_t end_ns = monotonic_ns() + budget_ns;
    for (;;) {
      const int count = look(0);
      hook_has_work_ = !hooks_let_sleep(BeforeWait::kLook);
      if (count != 0 || hook_has_work_ || monotonic_ns() >= end_ns) return count;
      ::sched_yield();
    }
  }

  // The wait of a turn: a spin if the policy wants one, then the wait that may sleep.
  int wait(bool& posted) {
    hook_has_work_ = false;
    const bool stopping = stop_.load(std::memory_order_relaxed);
    std::uint64_t budget_ns = policy_.spin_ns(had_work_, now_ns_);
    if (deadline_ns_ != 0) budget_ns = std::min(budget_ns, until(deadline_ns_));
    if (budget_ns != 0 && !stopping) {
      if (probes_ == ProbeMode::kNetPoll) probe::net_poll_wait(0);
      const int count = spin(budget_ns);
      posted = look_at_events(count, 0);
      if (count != 0 || hook_has_work_) return count;
    }
    const std::uint64_t armed_ns = arm();
    const std::uint64_t wait_ns = stopping ? 0 : armed_ns;
    if (probes_ == ProbeMode::kNetPoll) probe::net_poll_wait(EpollWaiter::timeout_ms_of(wait_ns));
    const int count = look(wait_ns);
    posted = look_at_events(count, EpollWaiter::timeout_ms_of(wait_ns));
    return count;
  }

  void turn() {
    bool posted = false;
    const int count = wait(posted);
    had_work_ = visible_events_ != 0 || hook_has_work_;
    now_ns_ = monotonic_ns();
    for (int i = 0; i < count; ++i) {
      if (Registration* slot = registration_of(events_[static_cast<std::size_t>(i)])) {
        slot->handler->on_fd_ready(events_[static_cast<std::size_t>(i)].events);
      }
    }
    if (posted) run_posted();
    if (deadline_ns_ != 0 && deadline_ns_ <= now_ns_) {
      deadline_ns_ = 0;
      if (deadline_callback_) deadline_callback_();
    }
    for (auto& hook : turn_end_)
      hook();
  }

  // Counts the events for net_poll_wake and fires it; true if tasks were posted.
  bool look_at_events(int count, int timeout_ms) {
    bool posted = false;
    visible_events_ = 0;
    std::uint32_t kicked = 0;
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events_[static_cast<std::size_t>(i)];
      if (event.data.u64 == kWakeTag) {
        posted = true;
      } else if (const Registration* slot = registration_of(event)) {
        ++visible_events_;
        if (slot->kick) kicked = 1;
      }
    }
    if (probes_ == ProbeMode::kNetPoll) probe::net_poll_wake(timeout_ms, count, visible_events_, kicked);
    return posted;
  }

  Registration* registration_of(const epoll_event& event) {
    if (event.data.u64 == kWakeTag) return nullptr;
    Registration* slot = find(static_cast<int>(event.data.u64 & 0xffffffffU));
    if (slot == nullptr || slot->generation != static_cast<std::uint32_t>(event.data.u64 >> 32))
      return nullptr;
    return slot;
  }

  void run_posted() {
    clear_event(wake_.get());
    std::unique_lock lock(mutex_);
    run_tasks(lock);
  }

  // Tasks may post again; those run too. The lock is free while a task of a running loop runs.
  void run_tasks(std::unique_lock<std::recursive_mutex>& lock) {
    while (!tasks_.empty()) {
      std::vector<std::function<void()>> batch;
      batch.swap(tasks_);
      const bool unlock = state_ == State::kRunning;
      for (auto& task : batch) {
        if (unlock) lock.unlock();
        task();
        if (unlock) lock.lock();
        ++done_;
      }
      task_done_.notify_all();
    }
  }

  UniqueFd epoll_;
  UniqueFd wake_;
  EpollWaiter waiter_;
  std::atomic<int> error_{0};  // why the loop ended by itself
  const ProbeMode probes_;
  PollPolicy policy_;
  bool had_work_ = false;       // in the last turn
  bool hook_has_work_ = false;  // which ended the spin
  std::uint64_t now_ns_;
  std::uint64_t deadline_ns_ = 0;
  std::uint64_t bound_ns_ = 0;  // when the coming wait must end, 0 for no bound
  std::uint32_t visible_events_ = 0;
  std::vector<Registration> table_;
  std::array<epoll_event, kEventsPerTurn> events_{};
  epoll_event scratch_{};
  std::function<void()> deadline_callback_;
  std::vector<std::function<void()>> turn_end_;
  std::vector<std::function<bool(BeforeWait)>> before_wait_;

  std::atomic<bool> stop_{false};
  std::recursive_mutex mutex_;  // guards what follows; recursive, since without an owner tasks run under it
  std::condition_variable_any task_done_;
  State state_ = State::kIdle;
  std::thread::id owner_;
  std::vector<std::function<void()>> tasks_;
  std::uint64_t posted_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create(ProbeMode probes, const PollConfig& poll) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno(errno, "event loop: epoll_create1");
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return fail_errno(errno, "event loop: eventfd");
  epoll_event on_wake{};
  on_wake.events = EPOLLIN;
  on_wake.data.u64 = kWakeTag;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &on_wake) != 0) {
    return fail_errno(errno, "event loop: epoll_ctl");
  }
  return std::make_unique<EpollLoop>(std::move(epoll), std::move(wake), probes, poll);
}

}  // namespace glassbox::net
