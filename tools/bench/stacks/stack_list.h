// The stacks by name: one list that options, table, identity check and README share. To add a stack, add an
// entry here and a case in make_stack.cc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/workload.h"

namespace glassbox::bench {

enum class Group {
  kVm,      // the client runs in a guest with glassbox's kernel, image and command line
  kNative,  // the client runs in a network namespace, or in none
};

struct StackEntry {
  std::string name;
  Group group = Group::kNative;
  std::vector<std::string> programs;  // looked for in PATH; none: glassbox's own, or the kernel
  std::string package;                // Debian package of the last of the programs
  std::string carrier;      // file name of the program that must hold the server's peer; empty: kernel
  bool poll_off = false;    // glassbox with --poll off, for counts without spinning
  bool by_default = true;   // takes part where no stack is named
  bool streams = true;      // carries more than a cycle's few bytes
  bool many_flows = false;  // carries the workloads that keep flows open
};

// In the order of the table.
[[nodiscard]] const std::vector<StackEntry>& stack_entries();
[[nodiscard]] const StackEntry* find_stack(std::string_view name);
// default_ones: only those that take part where no stack is named.
[[nodiscard]] std::vector<std::string> stack_names(bool default_ones);

// Whether the stack takes part in this workload of the rounds.
[[nodiscard]] bool carries(const StackEntry& stack, WorkloadKind workload);
// Whether the start of the stack is a boot that is measured: guest-loopback is glassbox again.
[[nodiscard]] bool boots(const std::string& stack);
[[nodiscard]] bool needs_kvm(const Spec& spec);

// Labels of the table's rows: the names; from the second time on with "#2" and so on.
[[nodiscard]] std::vector<std::string> labels(const std::vector<std::string>& stacks);

// Kernel arguments of every guest, after those of the monitor: a kernel that moves itself starts 200 ms later
// (in the lab).
inline constexpr const char* kGuestArguments = "nokaslr";

}  // namespace glassbox::bench
