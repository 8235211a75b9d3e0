#include "tools/bench/stacks/stack_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace glassbox::bench {
namespace {

constexpr const char* kQemu = "qemu-system-x86_64";

StackEntry entry(std::string name, Group group, std::string carrier) {
  StackEntry one;
  one.name = std::move(name);
  one.group = group;
  one.carrier = std::move(carrier);
  return one;
}

StackEntry poll_off(StackEntry one) {
  one.name += "-off";
  one.poll_off = true;
  one.by_default = false;
  return one;
}

StackEntry packaged(StackEntry one, std::vector<std::string> programs, std::string package) {
  one.programs = std::move(programs);
  one.package = std::move(package);
  return one;
}

StackEntry with_many_flows(StackEntry one) {
  one.many_flows = true;
  return one;
}

// The least NAT that carries a cycle: a floor, with no flow control.
StackEntry bare(std::string name) {
  StackEntry one = entry(std::move(name), Group::kNative, "glassbox-bench");
  one.by_default = false;
  one.streams = false;
  return one;
}

StackEntry relay() {
  StackEntry one = entry("relay", Group::kNative, "glassbox-bench");
  one.by_default = false;
  return one;
}

}  // namespace

const std::vector<StackEntry>& stack_entries() {
  static const StackEntry glassbox = entry("glassbox", Group::kVm, "glassbox");
  static const StackEntry netns = with_many_flows(entry("glassbox-netns", Group::kNative, "glassbox"));
  static const std::vector<StackEntry> entries = {
      glassbox,
      poll_off(glassbox),
      packaged(entry("qemu-slirp", Group::kVm, kQemu), {kQemu}, "qemu-system-x86"),
      packaged(entry("qemu-passt", Group::kVm, "passt"), {kQemu, "passt"}, "passt"),
      entry("guest-loopback", Group::kVm, ""),
      netns,
      poll_off(netns),
      // A link to passt, or one of its builds for a processor, such as passt.avx2.
      with_many_flows(packaged(entry("pasta", Group::kNative, "pas"), {"pasta"}, "passt")),
      with_many_flows(
          packaged(entry("slirp4netns", Group::kNative, "slirp4netns"), {"slirp4netns"}, "slirp4netns")),
      entry("veth", Group::kNative, ""),
      entry("loopback", Group::kNative, "gb-crr"),
      relay(),
      bare("bare"),
      bare("bare-spin"),
  };
  return entries;
}

const StackEntry* find_stack(std::string_view name) {
  for (const StackEntry& entry : stack_entries()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

std::vector<std::string> stack_names(bool default_ones) {
  std::vector<std::string> names;
  for (const StackEntry& entry : stack_entries()) {
    if (!default_ones || entry.by_default) names.push_back(entry.name);
  }
  return names;
}

bool carries(const StackEntry& stack, WorkloadKind workload) {
  if (is_stream(workload)) return stack.streams;
  return !keeps_flows_open(workload) || stack.many_flows;
}

bool boots(const std::string& stack) {
  const StackEntry* entry = find_stack(stack);
  return entry != nullptr && entry->group == Group::kVm && stack != "guest-loopback";
}

bool needs_kvm(const Spec& spec) {
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
