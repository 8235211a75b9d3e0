// SIGINT, SIGTERM and SIGHUP as an event instead of an interruption: they are blocked in every thread and
// taken up by one that waits for them.
#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

namespace glassbox::cli {

class StopSignals {
 public:
  // Blocks the signals; construct before the first thread starts, since threads inherit the mask.
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  // Starts waiting; action runs once, on a thread of this object, at the first signal.
  void on_signal(std::function<void()> action);
  // Ends the wait. The signals stay blocked until destruction.
  void finish();
  // The signal that came, or 0.
  [[nodiscard]] int caught() const { return caught_; }

 private:
  sigset_t signals_{};
  sigset_t previous_{};
  std::atomic<int> caught_{0};
  std::thread thread_;
};

}  // namespace glassbox::cli
