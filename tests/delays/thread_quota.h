// Keeps one thread from running by a CPU quota: it is moved into a control group whose quota is used up when
// it next wants to run. The group is threaded (cgroup v2), or plain where the cpu controller is still
// version 1.
//
// Theory of operation. The quota is 1 ms per second, the least the kernel accepts. hold() sets it and lets a
// burner thread spend it inside the group until the kernel throttles the group. The group then gets no CPU
// until the next second, or until release() lifts the quota. The burner sleeps while the quota is held.
//
// Destroying it moves both threads back and removes the group. Not thread-safe.
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
  // The thread `tid` of process `pid`. Needs root and a writable control group file system.
  [[nodiscard]] static Result<std::unique_ptr<ThreadQuota>> create(pid_t pid, pid_t tid);
  ThreadQuota(const ThreadQuota&) = delete;
  ThreadQuota& operator=(const ThreadQuota&) = delete;
  ~ThreadQuota();

  // Returns once the group is throttled; at most 10 s.
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
  std::filesystem::path parent_, group_;  // parent_ (v2 only) is the domain of the threaded group
  std::filesystem::path home_;            // the group that processes return to
  std::atomic<int> burner_tid_{0};
  std::atomic<bool> burns_{false}, end_{false};
  std::thread burner_;
};

}  // namespace glassbox::delays
