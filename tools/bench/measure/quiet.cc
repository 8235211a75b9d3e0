#include "tools/bench/measure/quiet.h"

#include <poll.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "tools/bench/measure/time_split.h"
#include "vmm/base/clock.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kSettleMs = 1000;
constexpr int kWatchMs = 2000;
constexpr int kSignalLookMs = 100;

// The value of a "Key:  value" line of a file in /proc.
std::optional<std::uint64_t> status_value(const fs::path& file, const std::string& key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string found;
    std::uint64_t value = 0;
    if (words >> found >> value && found == key) return value;
  }
  return std::nullopt;
}

// How often the threads of the process went to sleep of their own accord: as often as they were woken.
Result<std::uint64_t> sleeps(pid_t pid) {
  std::uint64_t total = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    const auto value = status_value(entry.path() / "status", "voluntary_ctxt_switches:");
    if (!value) return fail("cannot read how often process {} slept", pid);
    total += *value;
  }
  return total;
}

Status pause_for(int ms, Watch& watch) {
  for (; ms > 0; ms -= kSignalLookMs) {
    ::poll(nullptr, 0, kSignalLookMs);
    if (watch.signal() != 0) return fail("interrupted");
  }
  return {};
}

}  // namespace

Result<Quiet> watch_quiet_process(pid_t pid, Watch& watch) {
  GB_TRY(pause_for(kSettleMs, watch));
  GB_ASSIGN(const SchedTime before, sched_time(pid));
  GB_ASSIGN(const std::uint64_t sleeps_before, sleeps(pid));
  const std::uint64_t start_ns = monotonic_ns();
  GB_TRY(pause_for(kWatchMs, watch));
  const auto ns = static_cast<double>(monotonic_ns() - start_ns);
  GB_ASSIGN(const SchedTime after, sched_time(pid));
  GB_ASSIGN(const std::uint64_t sleeps_after, sleeps(pid));
  return Quiet{100 * static_cast<double>(after.running_ns - before.running_ns) / ns,
               1e9 * static_cast<double>(sleeps_after - sleeps_before) / ns,
               status_value(fmt::format("/proc/{}/status", pid), "VmRSS:").value_or(0)};
}

}  // namespace glassbox::bench
