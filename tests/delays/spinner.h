// A busy loop that keeps every other thread off one CPU for a while.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "vmm/base/result.h"

namespace glassbox::delays {

// Restricts every thread of a process, or one thread, to these CPUs.
[[nodiscard]] Status pin(pid_t pid, std::uint64_t cpu_mask);
[[nodiscard]] Status pin_thread(pid_t tid, std::uint64_t cpu_mask);

class Spinner {
 public:
  explicit Spinner(unsigned cpu);
  Spinner(const Spinner&) = delete;
  Spinner& operator=(const Spinner&) = delete;
  ~Spinner();

  // Returns once the loop runs, as a SCHED_FIFO thread (needs CAP_SYS_NICE). It stops by itself after `time`.
  void spin_for(std::chrono::microseconds time);

 private:
  void run(unsigned cpu);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::chrono::microseconds time_{0};
  bool asked_ = false, end_ = false;
  std::atomic<bool> spins_{false};
  std::thread thread_;
};

// How long a thread has been runnable without a CPU so far (/proc/PID/task/TID/schedstat).
[[nodiscard]] std::int64_t run_delay_ns(pid_t pid, pid_t tid);

// True if the thread is running or runnable.
[[nodiscard]] bool is_runnable(pid_t pid, pid_t tid);

// The first thread of that name, or 0.
[[nodiscard]] pid_t thread_named(pid_t pid, const std::string& name);

}  // namespace glassbox::delays
