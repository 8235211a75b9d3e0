// A CPU quota on one thread. The thread is put into a control group (a threaded one of cgroup v2, or one of
// the cpu controller if that is still on version 1) that has used up its quota when the thread next wants to
// run.
//
// Theory of operation. The quota is 1 ms a second, the least that the kernel accepts. hold() sets it and lets
// a burner thread of this process run inside the group until the kernel throttles the group. The group then
// gets no CPU until the next second, or until release() lifts the quota. While the group is held the burner
// sleeps, so that the thread is alone in it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <thread>

#include "vmm/base/result.h"

namespace glassbox::delays {

class ThreadQuota {
 public:
  // For the thread `tid` of process `pid`. Needs root and a writable control group file system.
  [[nodiscard]] static Result<std::unique_ptr<ThreadQuota>> create(pid_t pid, pid_t tid);
  ThreadQuota(const ThreadQuota&) = delete;
  ThreadQuota& operator=(const ThreadQuota&) = delete;
  ~ThreadQuota();

  [[nodiscard]] Status hold();
  [[nodiscard]] Status release();

 private:
  ThreadQuota() = default;
  [[nodiscard]] Status create_v1(pid_t tid);
  [[nodiscard]] Status create_v2(pid_t pid, pid_t tid);
  [[nodiscard]] Status start_burner();
  [[nodiscard]] Status limit(bool on);
  [[nodiscard]] std::int64_t burnt_ns();
  [[nodiscard]] std::int64_t times_throttled();
  void burn();

  bool v2_ = false;
  pid_t pid_ = 0;
  std::filesystem::path parent_, group_;  // parent_: v2 only, the domain of the threaded group
  std::filesystem::path home_;            // the group that processes return to
  std::atomic<int> burner_tid_{0};
  std::atomic<bool> burns_{false}, end_{false};
  std::thread burner_;
};

}  // namespace glassbox::delays
