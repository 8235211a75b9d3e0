#include "tools/bench/measure/counts.h"

#include <filesystem>
#include <fstream>

#include "tools/bench/measure/time_split.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;

std::optional<double> sum(const std::optional<double>& a, const std::optional<double>& b, double sign) {
  if (!a && !b) return std::nullopt;
  return a.value_or(0) + sign * b.value_or(0);
}

Result<double> switches_of(pid_t pid) {
  double total = 0;
  bool any = false;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    std::ifstream file(entry.path() / "status");
    for (std::string key; file >> key;) {
      double value = 0;
      if (!key.ends_with("_ctxt_switches:") || !(file >> value)) continue;
      total += value;
      any = true;
    }
  }
  if (!any) return fail("cannot read the context switches of process {}", pid);
  return total;
}

// KVM's directory for a VM is PID-FD, and its PID that of the thread which made the VM.
void add_vm_counts(pid_t pid, ProcessCounts& to) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/sys/kernel/debug/kvm", error)) {
    const std::string name = entry.path().filename();
    const std::size_t dash = name.find('-');
    if (dash == std::string::npos) continue;
    const std::string thread = name.substr(0, dash);
    std::error_code other;
    if (!fs::exists(fmt::format("/proc/{}/task/{}", pid, thread), other)) continue;
    double exits = 0;
    double injections = 0;
    if (!(std::ifstream(entry.path() / "exits") >> exits)) continue;
    std::ifstream(entry.path() / "irq_injections") >> injections;
    to.exits = to.exits.value_or(0) + exits;
    to.injections = to.injections.value_or(0) + injections;
  }
}

}  // namespace

ProcessCounts operator-(const ProcessCounts& later, const ProcessCounts& earlier) {
  return {later.cpu_ns - earlier.cpu_ns, later.switches - earlier.switches,
          sum(later.exits, earlier.exits, -1), sum(later.injections, earlier.injections, -1)};
}

ProcessCounts& operator+=(ProcessCounts& to, const ProcessCounts& more) {
  to.cpu_ns += more.cpu_ns;
  to.switches += more.switches;
  to.exits = sum(to.exits, more.exits, 1);
  to.injections = sum(to.injections, more.injections, 1);
  return to;
}

Result<ProcessCounts> read_process_counts(const std::vector<pid_t>& pids) {
  ProcessCounts all;
  for (const pid_t pid : pids) {
    GB_ASSIGN(const SchedTime time, sched_time(pid));
    GB_ASSIGN(const double switches, switches_of(pid));
    all.cpu_ns += static_cast<double>(time.running_ns);
    all.switches += switches;
    add_vm_counts(pid, all);
  }
  return all;
}

Status check_ran(const std::string& who, const ProcessCounts& before, const ProcessCounts& after) {
  if (after.cpu_ns > before.cpu_ns) return {};
  return fail("{} did not run while packets passed", who);
}

}  // namespace glassbox::bench
