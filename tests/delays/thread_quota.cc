#include "tests/delays/thread_quota.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <fstream>

namespace glassbox::delays {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kQuotaUs = "1000", kPeriodUs = "1000000";
constexpr std::int64_t kQuotaNs = 1'000'000;
constexpr int kStillMs = 3, kLongStillMs = 30, kThrottleLimitMs = 10'000;
const fs::path kV1 = "/sys/fs/cgroup/cpu", kV2 = "/sys/fs/cgroup";

Status put(const fs::path& file, std::string_view text) {
  std::ofstream out(file);
  out << text;
  out.flush();
  if (!out) return fail_errno(errno, "cannot write \"{}\" to {}", text, file.string());
  return {};
}

Status make(const fs::path& directory) {
  std::error_code error;
  if (!fs::create_directory(directory, error) && error)
    return fail("cannot make {}: {}", directory.string(), error.message());
  return {};
}

}  // namespace

Result<std::unique_ptr<ThreadQuota>> ThreadQuota::create(pid_t pid, pid_t tid) {
  std::unique_ptr<ThreadQuota> quota(new ThreadQuota);
  quota->pid_ = pid;
  if (fs::exists(kV1 / "cpu.cfs_quota_us") || fs::exists(kV1 / "tasks"))
    GB_TRY(quota->create_v1(tid));
  else
    GB_TRY(quota->create_v2(pid, tid));
  GB_TRY(quota->start_burner());
  return quota;
}

Status ThreadQuota::create_v1(pid_t tid) {
  group_ = kV1 / fmt::format("glassbox-delays-{}", ::getpid());
  home_ = kV1;
  GB_TRY(make(group_));
  return put(group_ / "tasks", std::to_string(tid));
}

// Both threads of the threaded group must belong to processes in its domain (cgroup-v2.rst, "Threads"): so
// both processes move there first.
Status ThreadQuota::create_v2(pid_t pid, pid_t tid) {
  v2_ = true;
  if (!fs::exists(kV2 / "cgroup.controllers"))
    return fail("{} is not a control group file system", kV2.string());
  home_ = kV2;
  parent_ = kV2 / fmt::format("glassbox-delays-{}", ::getpid());
  group_ = parent_ / "thread";
  GB_TRY(put(kV2 / "cgroup.subtree_control", "+cpu"));
  GB_TRY(make(parent_));
  GB_TRY(make(group_));
  GB_TRY(put(group_ / "cgroup.type", "threaded"));
  GB_TRY(put(parent_ / "cgroup.procs", std::to_string(pid)));
  GB_TRY(put(parent_ / "cgroup.procs", std::to_string(::getpid())));
  GB_TRY(put(parent_ / "cgroup.subtree_control", "+cpu"));
  return put(group_ / "cgroup.threads", std::to_string(tid));
}

Status ThreadQuota::start_burner() {
  burner_ = std::thread([this] { burn(); });
  burner_tid_.wait(0);
  return put(group_ / (v2_ ? "cgroup.threads" : "tasks"), std::to_string(burner_tid_.load()));
}

ThreadQuota::~ThreadQuota() {
  (void)limit(false);
  end_ = true;
  burns_ = true;
  burns_.notify_one();
  if (burner_.joinable()) burner_.join();
  // A group can be removed only when it is empty.
  if (v2_) {
    (void)put(home_ / "cgroup.procs", std::to_string(pid_));
    (void)put(home_ / "cgroup.procs", std::to_string(::getpid()));
  } else {
    std::ifstream in(group_ / "tasks");
    for (std::string tid; in >> tid;)
      (void)put(home_ / "tasks", tid);
  }
  std::error_code ignored;
  fs::remove(group_, ignored);
  if (v2_) fs::remove(parent_, ignored);
}

Status ThreadQuota::limit(bool on) {
  if (v2_) return put(group_ / "cpu.max", fmt::format("{} {}", on ? kQuotaUs : "max", kPeriodUs));
  GB_TRY(put(group_ / "cpu.cfs_period_us", kPeriodUs));
  return put(group_ / "cpu.cfs_quota_us", on ? kQuotaUs : "-1");
}

// The CPU time that the burner has used.
std::int64_t ThreadQuota::burnt_ns() {
  clockid_t clock{};
  timespec used{};
  if (::pthread_getcpuclockid(burner_.native_handle(), &clock) == 0) ::clock_gettime(clock, &used);
  return used.tv_sec * 1'000'000'000 + used.tv_nsec;
}

std::int64_t ThreadQuota::times_throttled() {
  std::ifstream in(group_ / "cpu.stat");
  std::string name;
  std::int64_t value = 0;
  while (in >> name >> value)
    if (name == "nr_throttled") return value;
  return 0;
}

Status ThreadQuota::hold() {
  const std::int64_t throttled_before = times_throttled();
  GB_TRY(limit(true));
  const std::int64_t begin_ns = burnt_ns();
  burns_ = true;
  burns_.notify_one();
  // The quota is spent if the burner has used that much and stands still. If the other thread used some of
  // it, the kernel reports that it throttled the group, and the burner stands still for longer than a CPU may
  // keep an unused slice of the quota.
  std::int64_t last_ns = begin_ns;
  const auto spent = [&](int still_ms) {
    if (still_ms >= kStillMs && last_ns - begin_ns >= kQuotaNs) return true;
    return still_ms >= kLongStillMs && times_throttled() > throttled_before;
  };
  for (int still = 0, ms = 0; !spent(still); ++ms) {
    if (ms > kThrottleLimitMs) return fail("the kernel did not throttle {}", group_.string());
    ::usleep(1000);
    const std::int64_t now_ns = burnt_ns();
    still = now_ns == last_ns ? still + 1 : 0;
    last_ns = now_ns;
  }
  burns_ = false;  // the burner goes to sleep when it next runs
  return {};
}

Status ThreadQuota::release() {
  return limit(false);
}

void ThreadQuota::burn() {
  burner_tid_ = ::gettid();
  burner_tid_.notify_one();
  while (!end_) {
    burns_.wait(false);
    while (burns_ && !end_) {
    }
  }
}

}  // namespace glassbox::delays
