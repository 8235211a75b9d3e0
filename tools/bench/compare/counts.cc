#include "tools/bench/compare/counts.h"

#include <filesystem>
#include <fstream>

#include "tools/bench/net/carrier.h"

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

void subtract(std::map<std::string, double>& from, const std::map<std::string, double>& what) {
  for (const auto& [name, value] : what)
    from[name] -= value;
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
    GB_ASSIGN(const std::uint64_t ns, cpu_ns(pid));
    GB_ASSIGN(const double switches, switches_of(pid));
    all.cpu_ns += static_cast<double>(ns);
    all.switches += switches;
    add_vm_counts(pid, all);
  }
  return all;
}

KernelCounts operator-(KernelCounts later, const KernelCounts& earlier) {
  later.calls -= earlier.calls;
  later.wakeups -= earlier.wakeups;
  later.exits -= earlier.exits;
  subtract(later.by_call, earlier.by_call);
  subtract(later.by_reason, earlier.by_reason);
  return later;
}

KernelCounts& operator+=(KernelCounts& to, const KernelCounts& more) {
  to.calls += more.calls;
  to.wakeups += more.wakeups;
  to.exits += more.exits;
  for (const auto& [name, value] : more.by_call)
    to.by_call[name] += value;
  for (const auto& [name, value] : more.by_reason)
    to.by_reason[name] += value;
  return to;
}

KernelCounts& operator/=(KernelCounts& counts, double by) {
  counts.calls /= by;
  counts.wakeups /= by;
  counts.exits /= by;
  for (auto& [name, value] : counts.by_call)
    value /= by;
  for (auto& [name, value] : counts.by_reason)
    value /= by;
  return counts;
}

std::map<std::uint32_t, std::string> exit_reasons(const std::string& format, std::uint32_t isa) {
  constexpr std::string_view kList = "__print_symbolic(";
  std::size_t at = format.find(kList);
  if (at != std::string::npos && isa != 1) at = format.find(kList, at + 1);
  std::map<std::uint32_t, std::string> names;
  if (at == std::string::npos) return names;
  const std::size_t end = std::min(format.find("})", at), format.size());
  // { 0x040 + 1, "DB excp" }, ...
  for (at = format.find('{', at); at < end; at = format.find('{', at + 1)) {
    const std::size_t quote = format.find('"', at);
    const std::size_t close = format.find('"', quote + 1);
    if (close == std::string::npos) break;
    std::uint32_t value = 0;
    std::string term;
    for (const char c : format.substr(at + 1, quote - at - 1) + "+") {
      if (c != '+' && c != ',') {
        term += c;
        continue;
      }
      if (term.find_first_of("0123456789") != std::string::npos) {
        value += static_cast<std::uint32_t>(std::strtol(term.c_str(), nullptr, 0));
      }
      term.clear();
    }
    names.emplace(value, format.substr(quote + 1, close - quote - 1));
  }
  return names;
}

}  // namespace glassbox::bench
