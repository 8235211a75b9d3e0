// What `glassbox-bench compare` is to do: stacks, workloads and sizes, parsed and checked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::bench {

enum class Group {
  kVm,      // the client in a guest with our kernel, image and command line
  kNative,  // the client in a network namespace, or none
};

struct StackEntry {
  std::string name;
  Group group = Group::kNative;
  std::vector<std::string> programs;  // looked for in PATH; none: ours, or the kernel
  std::string package;                // Debian package of the last of the programs
  std::string carrier;    // file name of the program that must hold the server's peer; empty: kernel
  bool poll_off = false;  // ours with --poll off, for counts without spinning: only where it is named
};

// Kernel arguments of every guest after the monitor's own: a kernel that moves itself starts 200 ms later (in
// the lab).
inline constexpr const char* kGuestArguments = "nokaslr";

// In the order of the table.
[[nodiscard]] const std::vector<StackEntry>& stack_entries();
[[nodiscard]] const StackEntry* find_stack(std::string_view name);

enum class Load { kCrr, kCrrFork, kRr, kStreamOut, kStreamIn, kConnectRate, kBoot };

struct Workload {
  Load load = Load::kCrr;
  std::uint32_t flows = 1;  // kConnectRate
  std::string name;         // as the table has it: "crr", "connect-rate 4"
};

// Names as --workloads takes them.
[[nodiscard]] const std::vector<std::string>& workload_names();

struct CompareSpec {
  std::vector<std::string> stacks;     // names; a name may come twice, which compares a stack with itself
  std::vector<std::string> workloads;  // names
  std::vector<std::uint32_t> flows = {1, 2, 4, 8};  // of connect-rate
  std::uint32_t rounds = 8;
  std::uint32_t cycles = 150;      // of crr, rr and connect-rate, a stack and round
  std::uint32_t fork_cycles = 30;  // of crr-fork
  std::uint32_t warm_up = 10;      // cycles before them, in a client of their own, thrown away
  std::uint32_t boot_rounds = 5;
  std::uint32_t payload = 1;  // bytes of a request
  std::uint32_t stream_mib = 16;
  std::uint32_t rate = 0;      // cycles a second on a schedule (crr, rr); 0: closed loop
  std::uint32_t stall_s = 20;  // without a cycle that ends, until a client is given up
  std::uint32_t vcpus = 1;
  std::uint32_t memory_mib = 256;
  std::string qemu_machine = "auto";
  bool counts = true;
  bool trace_misses = true;
  std::string json_path, markdown_path;
};

[[nodiscard]] Status check(const CompareSpec& spec);
// The workloads of the rounds, connect-rate once per number of flows; boot is none of them.
[[nodiscard]] std::vector<Workload> round_workloads(const CompareSpec& spec);
// Whether its start is a boot that is measured: guest-loopback's is glassbox's.
[[nodiscard]] bool boots(const std::string& stack);
[[nodiscard]] bool wants_boot(const CompareSpec& spec);
[[nodiscard]] bool needs_kvm(const CompareSpec& spec);

// Labels of the table: the names, those that come again with "#2" and so on.
[[nodiscard]] std::vector<std::string> labels(const std::vector<std::string>& stacks);

// Rounds below which the test over rounds cannot reach kSignificance.
inline constexpr std::uint32_t kRoundsForVerdict = 8;

}  // namespace glassbox::bench
