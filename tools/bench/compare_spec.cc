#include "tools/bench/compare_spec.h"

#include <algorithm>
#include <map>

#include "tools/bench/spec.h"
#include "tools/bench/stacks/echo.h"

namespace glassbox::bench {
namespace {

constexpr std::string_view kConnectRate = "connect-rate";
constexpr std::string_view kBoot = "boot";

constexpr const char* kQemu = "qemu-system-x86_64";

Status in_range(const char* option, std::uint64_t value, std::uint64_t low, std::uint64_t high) {
  if (value >= low && value <= high) return {};
  return fail("{} {}: {} to {}", option, value, low, high);
}

bool wants(const CompareSpec& spec, std::string_view workload) {
  return std::find(spec.workloads.begin(), spec.workloads.end(), workload) != spec.workloads.end();
}

}  // namespace

bool boots(const std::string& stack) {
  const StackEntry* entry = find_stack(stack);
  return entry != nullptr && entry->group == Group::kVm && stack != "guest-loopback";
}

const std::vector<StackEntry>& stack_entries() {
  static const std::vector<StackEntry> entries = {
      {"glassbox", Group::kVm, {}, "", "glassbox"},
      {"glassbox-off", Group::kVm, {}, "", "glassbox", true},
      {"qemu-slirp", Group::kVm, {kQemu}, "qemu-system-x86", kQemu},
      {"qemu-passt", Group::kVm, {kQemu, "passt"}, "passt", "passt"},
      {"guest-loopback", Group::kVm, {}, "", ""},
      {"glassbox-netns", Group::kNative, {}, "", "glassbox"},
      {"glassbox-netns-off", Group::kNative, {}, "", "glassbox", true},
      {"pasta", Group::kNative, {"pasta"}, "passt", "pas"},  // a link to passt, or a build for a processor
      {"slirp4netns", Group::kNative, {"slirp4netns"}, "slirp4netns", "slirp4netns"},
      {"veth", Group::kNative, {}, "", ""},
      {"loopback", Group::kNative, {}, "", "gb-crr"},
  };
  return entries;
}

const StackEntry* find_stack(std::string_view name) {
  for (const StackEntry& entry : stack_entries()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

const std::vector<std::string>& workload_names() {
  static const std::vector<std::string> names = {"crr",       "crr-fork",     "rr",  "stream-out",
                                                 "stream-in", "connect-rate", "boot"};
  return names;
}

Status check(const CompareSpec& spec) {
  if (spec.stacks.empty() || spec.workloads.empty()) return fail("nothing to compare");
  for (const std::string& name : spec.stacks) {
    if (find_stack(name) == nullptr) return fail("--stacks {}: see --help for the names", name);
  }
  GB_TRY(in_range("--rounds", spec.rounds, 1, 1000));
  GB_TRY(in_range("--cycles", spec.cycles, 1, kMaxCycles));
  GB_TRY(in_range("--fork-cycles", spec.fork_cycles, 1, kMaxCycles));
  GB_TRY(in_range("--warm-up", spec.warm_up, 1, 1000));
  GB_TRY(in_range("--boot-rounds", spec.boot_rounds, 1, 1000));
  GB_TRY(in_range("--payload", spec.payload, 1, kMaxRequestBytes));
  GB_TRY(in_range("--stream-mib", spec.stream_mib, 1, 1 << 20));
  GB_TRY(in_range("--rate", spec.rate, 0, 1'000'000));
  GB_TRY(in_range("--stall", spec.stall_s, 1, 86'400));
  GB_TRY(in_range("--vcpus", spec.vcpus, 1, 64));
  GB_TRY(in_range("--memory", spec.memory_mib, 128, 1 << 20));
  for (const std::uint32_t flows : spec.flows) {
    if (!wants(spec, kConnectRate)) break;
    GB_TRY(in_range("--flows", flows, 1, std::min(64U, spec.cycles)));
    if (std::count(spec.flows.begin(), spec.flows.end(), flows) > 1)
      return fail("--flows {}: named twice", flows);
  }
  if (round_workloads(spec).empty() && std::none_of(spec.stacks.begin(), spec.stacks.end(), boots)) {
    return fail("boot is of glassbox and the QEMU stacks, and none is named");
  }
  if (spec.rate > 0 && !wants(spec, "crr") && !wants(spec, "rr")) {
    return fail("--rate is for crr and rr");
  }
  return {};
}

std::vector<Workload> round_workloads(const CompareSpec& spec) {
  std::vector<Workload> all;
  for (std::size_t i = 0; i < workload_names().size(); ++i) {
    const std::string& name = workload_names()[i];
    if (!wants(spec, name) || name == kBoot) continue;
    if (name != kConnectRate) {
      all.push_back({static_cast<Load>(i), 1, name});
      continue;
    }
    for (const std::uint32_t flows : spec.flows)
      all.push_back({Load::kConnectRate, flows, fmt::format("{} {}", name, flows)});
  }
  return all;
}

bool wants_boot(const CompareSpec& spec) {
  return wants(spec, kBoot);
}

bool needs_kvm(const CompareSpec& spec) {
  return std::any_of(spec.stacks.begin(), spec.stacks.end(), [](const std::string& name) {
    const StackEntry* entry = find_stack(name);
    return entry != nullptr && entry->group == Group::kVm;
  });
}

std::vector<std::string> labels(const std::vector<std::string>& stacks) {
  std::map<std::string, int> seen;
  std::vector<std::string> all;
  for (const std::string& name : stacks) {
    const int count = ++seen[name];
    all.push_back(count == 1 ? name : fmt::format("{}#{}", name, count));
  }
  return all;
}

}  // namespace glassbox::bench
