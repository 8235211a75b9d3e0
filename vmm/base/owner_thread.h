// The thread that owns some state: it alone touches that state, so that no lock is needed. Others hand it
// tasks.
#pragma once

#include <functional>

namespace glassbox {

// Implemented by the event loop (net/loop/event_loop.h). The owner may change only while no task can come.
class OwnerThread {
 public:
  virtual ~OwnerThread() = default;

  // Runs the task on the owner thread, after those posted before. Any thread; does not wait.
  virtual void post(std::function<void()> task) = 0;
  // As post(), and waits until the task has returned. On the owner thread itself it runs at once. vCPU
  // threads use it for control writes (reset, queue enable, MSI-X masking). After the owner has ended, this
  // and post() run the task at once, on the caller.
  virtual void post_and_wait(std::function<void()> task) = 0;
};

}  // namespace glassbox
