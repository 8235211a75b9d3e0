// What a run has to do: what the user asked for, parsed and checked, before anything is started.
//
// `glassbox-bench crr` runs one workload on one stack, traced or not. `glassbox-bench compare` runs several
// workloads on several stacks in rounds. Both fill the same structure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::bench {

enum class ServerKind {
  kBlocking,  // gb-echo, blocked in accept()
  kPoll,      // gb-echo, which tries accept() again after a sleep
  kExternal,  // a server of the user that listens on a port of this host
};

struct ServerSpec {
  ServerKind kind = ServerKind::kBlocking;
  std::uint32_t poll_ms = 0;        // kPoll
  std::uint16_t external_port = 0;  // kExternal
  bool ipv6 = false;                // listens on ::1, and the client connects over IPv6
};

struct Spec {
  // Names: stacks/stack_list.h, workload.h. Of crr: one each. A stack that is named twice is compared with
  // itself.
  std::vector<std::string> stacks = {};
  std::vector<std::string> workloads = {};
  std::uint32_t cycles = 150;  // crr: of the run; compare: of crr, rr and connect-rate, a stack and round
  std::uint32_t warm_up = 10;  // cycles before them, whose times are thrown away
  std::uint32_t payload = 1;   // bytes of a request
  std::uint32_t vcpus = 1;
  std::uint32_t memory_mib = 256;
  std::string json_path = {};  // empty: none; "-": standard output in place of the table

  // crr only.
  ServerSpec server = {};
  std::uint16_t port = 0;  // of gb-echo; 0: a free one
  bool trace = false;
  std::uint32_t untraced = 0;   // cycles without a trace, half of them before it and half after it
  std::string keep_trace = {};  // empty: the trace file is removed after the run

  // compare only.
  std::uint32_t rounds = 8;
  std::uint32_t fork_cycles = 30;  // of crr-fork
  std::uint32_t boot_rounds = 5;
  std::uint32_t stream_mib = 16;
  std::vector<std::uint32_t> flows = {1, 2, 4, 8};  // of connect-rate
  std::uint32_t idle_flows = 10'000;
  std::uint32_t rate = 0;      // cycles a second on a schedule (crr, rr); 0: closed loop
  std::uint32_t mtu = 65520;   // of the stacks without a guest
  std::uint32_t stall_s = 20;  // without a finished cycle, until a client is given up
  std::string qemu_machine = "auto";
  bool counts = true;
  bool trace_missed = true;  // make extra runs to explain a missed target
  bool explain_all = false;  // also targets that are met
  std::string markdown_path = {};

  // Of crr.
  [[nodiscard]] const std::string& stack() const { return stacks.front(); }
  [[nodiscard]] bool forks() const { return workloads.front() == "crr-fork"; }
  [[nodiscard]] bool has_guest() const { return stacks.front() == "glassbox"; }
};

// The defaults of `crr`: 200 cycles of crr-fork on glassbox.
[[nodiscard]] Spec crr_defaults();

// One client's output and one trace have room for this many. (Ports do not run out earlier: TIME_WAIT stays
// with the server, which closes first, or the port is reused after a second, net.ipv4.tcp_tw_reuse.)
inline constexpr std::uint32_t kMaxCycles = 100'000;

// blocking | poll:MS | external:[ADDRESS:]PORT
[[nodiscard]] Result<ServerSpec> parse_server(std::string_view text);
// --workload of crr, as the name of a workload: fork | single.
[[nodiscard]] Result<std::string> parse_crr_workload(std::string_view text);
// --stack of crr: glassbox | loopback.
[[nodiscard]] Result<std::string> parse_crr_stack(std::string_view text);

// Combinations and bounds, which a single option cannot check.
[[nodiscard]] Status check_crr(const Spec& spec);
[[nodiscard]] Status check_compare(const Spec& spec);

[[nodiscard]] std::string_view crr_workload_name(const Spec& spec);  // as --workload of crr takes it
[[nodiscard]] std::string name(const ServerSpec& server);            // as --server takes it
[[nodiscard]] std::string describe(const ServerSpec& server);        // for the first line of the report

}  // namespace glassbox::bench
