#include "tools/bench/cli.h"

#include <algorithm>

#include "tools/bench/report/compare_report.h"
#include "tools/bench/report/output.h"

namespace glassbox::bench {
namespace {

constexpr const char* kFooter =
    "Stacks with a guest (same kernel, image, command line and client): glassbox, qemu-slirp, qemu-passt, "
    "and\n"
    "guest-loopback (client and server in a guest: the floor). Without: glassbox-netns, pasta, slirp4netns, "
    "veth,\n"
    "loopback. Only where named: glassbox-off and glassbox-netns-off, ours with --poll off. A stack named\n"
    "twice is compared with itself. Workloads: crr and rr (one process), crr-fork (a busybox nc per cycle),\n"
    "stream-out and stream-in (guest to host, host to guest), connect-rate (CRR in several flows at once), "
    "boot\n"
    "(start to agent ready).\n"
    "Where KVM is not usable, a run with guests carries on in the lab. Root sees most: system calls, "
    "wake-ups,\n"
    "exits and who carried the packets.\n"
    "Examples:\n"
    "  glassbox-bench compare                                             all, some minutes\n"
    "  glassbox-bench compare --stacks glassbox-netns,pasta --workloads crr,rr\n"
    "  glassbox-bench compare --stacks glassbox,glassbox --workloads crr    a stack against itself\n"
    "  glassbox-bench compare --workloads rr --rate 200 --json out.json     open loop\n"
    "Exit status: 0; 1 if a stack has no figures, the null test failed or we did; 2 usage; 128+n after a "
    "signal.";

std::vector<std::string> stack_names(bool default_ones) {
  std::vector<std::string> names;
  for (const StackEntry& entry : stack_entries()) {
    if (!default_ones || !entry.poll_off) names.push_back(entry.name);
  }
  return names;
}

}  // namespace

void add_compare(options::App& app, CompareSpec& spec) {
  spec.stacks = stack_names(true);
  spec.workloads = workload_names();
  app.add_option("--stacks", spec.stacks, "stacks, by name (default: all but the -off ones)")
      ->delimiter(',')
      ->check(options::one_of(stack_names(false)))
      ->default_str("");
  app.add_option("--workloads", spec.workloads, "workloads, by name (default: all)")
      ->delimiter(',')
      ->check(options::one_of(workload_names()))
      ->default_str("");
  app.add_option("--rounds", spec.rounds, "rounds, each with a turn of every stack; a verdict needs 8")
      ->capture_default_str();
  app.add_option("--cycles", spec.cycles, "cycles of a turn (crr, rr, connect-rate)")->capture_default_str();
  app.add_option("--fork-cycles", spec.fork_cycles, "cycles of a turn of crr-fork")->capture_default_str();
  app.add_option("--warm-up", spec.warm_up, "cycles before them, thrown away")->capture_default_str();
  app.add_option("--boot-rounds", spec.boot_rounds, "boots of a stack")->capture_default_str();
  app.add_option("--payload", spec.payload, "bytes of a request and its reply")->capture_default_str();
  app.add_option("--stream-mib", spec.stream_mib, "MiB of a stream")->capture_default_str();
  app.add_option("--flows", spec.flows, "flows of connect-rate")->delimiter(',')->default_str("1,2,4,8");
  app.add_option("--rate", spec.rate,
                 "open loop: this many cycles a second (crr, rr), each timed from when it was due");
  app.add_option("--qemu-machine", spec.qemu_machine, "auto (microvm, or q35 where that does not boot)")
      ->check(options::one_of({"auto", "microvm", "q35"}))
      ->capture_default_str();
  app.add_option("--stall", spec.stall_s, "seconds without a finished cycle after which a client is given up")
      ->capture_default_str();
  app.add_option("--vcpus", spec.vcpus, "virtual CPUs of a guest")->capture_default_str();
  app.add_option("--memory", spec.memory_mib, "MiB of a guest")->capture_default_str();
  app.add_flag_callback(
      "--no-counts", [&spec] { spec.counts = false; },
      "leave out the pass that counts system calls, wake-ups and exits");
  app.add_flag_callback(
      "--no-trace", [&spec] { spec.trace_misses = false; },
      "leave out the traced run that says where a missed target is held");
  app.add_option("--json", spec.json_path, "write all figures to this file; -: standard output, and no table")
      ->take_last();
  app.add_option("--markdown", spec.markdown_path,
                 "write the tables to this file as Markdown; -: standard output, and no table")
      ->take_last();
  app.footer(kFooter);
}

Result<bool> run_and_report(const CompareSpec& spec, Watch& watch) {
  GB_ASSIGN(const CompareResult result, run_compare(spec, watch));
  // The screen first: a disk that is full by now takes nothing away.
  const std::string json =
      compare_json(result).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  const bool markdown = spec.markdown_path == "-";
  const Status printed = print_report(spec.json_path == "-" ? json
                                      : markdown            ? compare_markdown(result)
                                                            : compare_text(result));
  if (!spec.markdown_path.empty() && !markdown)
    GB_TRY(write_file(spec.markdown_path, compare_markdown(result)));
  if (!spec.json_path.empty() && spec.json_path != "-") GB_TRY(write_file(spec.json_path, json));
  GB_TRY(printed);
  return is_whole(result);
}

}  // namespace glassbox::bench
