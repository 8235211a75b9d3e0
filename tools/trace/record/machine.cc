#include "tools/trace/record/machine.h"

#include <cpuid.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <cstring>
#include <fstream>

#include "bpf/host_tracer.h"
#include "tools/trace/clock/clock.h"
#include "tools/trace/file/kinds.h"
#include "vmm/base/lab.h"
#include "vmm/kvm/usability.h"

namespace glassbox::trace {
namespace {

std::string cpu_model() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);)
    if (line.starts_with("model name")) return line.substr(std::min(line.find(": ") + 2, line.size()));
  return "unknown";
}

std::string kernel_release() {
  utsname name{};
  return ::uname(&name) == 0 ? fmt::format("{} {}", name.sysname, name.release) : "unknown";
}

// The hypervisor that this machine runs on, by its CPUID leaf 0x40000000.
std::string hypervisor() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & (1U << 31)) == 0) return "none";
  __cpuid(0x40000000, a, b, c, d);
  char name[13] = {};
  std::memcpy(name, &b, 4), std::memcpy(name + 4, &c, 4), std::memcpy(name + 8, &d, 4);
  std::string text(name);
  if (text == "TCGTCGTCGTCG") text = "QEMU TCG";  // software emulation
  return text.empty() ? "on an unnamed hypervisor" : "on " + text;
}

std::string kind_of_machine(pid_t traced) {
  if (in_lab()) return "lab";  // whatever is traced: the lab emulates all of its time
  if (!bpf::runs_a_vm(traced)) return "none";
  return kvm::check_kvm().usable ? "hardware" : "slow";
}

}  // namespace

nlohmann::json machine_info(pid_t traced) {
  return {{"kind", kind_of_machine(traced)},
          {"cpu", cpu_model()},
          {"kernel", kernel_release()},
          {"virtualization", hypervisor()}};
}

nlohmann::json trace_info(pid_t traced) {
  const auto now = std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  return {{"tool", "glassbox-trace " GLASSBOX_VERSION},
          {"interface", fmt::format("{:016x}", probe_interface_hash())},
          {"kernel", kernel_release()},
          {"machine", machine_info(traced)},
          {"pid", traced},
          {"drift_ppm", kDriftPpm},
          {"started_at", fmt::format("{:%FT%TZ}", fmt::gmtime(now))}};
}

}  // namespace glassbox::trace
