#include "tools/bench/cli.h"

#include <algorithm>

#include "tools/bench/report/json.h"
#include "tools/bench/report/output.h"
#include "tools/bench/report/text.h"
#include "tools/bench/stacks/stack_list.h"
#include "tools/bench/workload.h"

namespace glassbox::bench {
namespace {

constexpr const char* kFooter =
    "Stacks with a guest (same kernel, image, command line and client): glassbox, qemu-slirp, qemu-passt, and\n"
    "guest-loopback (client and server in one guest: the floor). Without a guest: glassbox-netns, pasta,\n"
    "slirp4netns, veth, loopback. Only if named: glassbox-off and glassbox-netns-off (--poll off), relay (a\n"
    "process with one buffer), bare and bare-spin (the least NAT that carries a cycle; no streams). A stack that\n"
    "is named twice is compared with itself.\n"
    "Workloads: crr and rr (one process), crr-fork (a busybox nc per cycle), stream-out and stream-in (client to\n"
    "server, server to client), connect-rate (CRR in several flows at once), boot (start to agent ready). Only if\n"
    "named: idle-flows and half-closed (CRR while other flows are open; glassbox-netns, pasta and slirp4netns).\n"
    "If KVM is not usable, a run with guests continues in the lab. Only root can count system calls, wake-ups\n"
    "and exits.\n"
    "Examples:\n"
    "  glassbox-bench compare                                             all, some minutes\n"
    "  glassbox-bench compare --stacks glassbox-netns,pasta --workloads crr,rr\n"
    "  glassbox-bench compare --stacks glassbox,glassbox --workloads crr    a stack compared with itself\n"
    "  glassbox-bench compare --workloads rr --rate 200 --json out.json     open loop\n"
    "Exit status: 0; 1 if a stack has no figures, the null test failed or the run did; 2 usage; 128+n after a "
    "signal.";

}  // namespace

void add_crr(options::App& app, CrrArgs& args) {
  Spec& spec = args.spec;
  app.add_option("--workload", args.workload, "fork: a fresh busybox nc per cycle; single: one process")
      ->capture_default_str();
  app.add_option("--cycles", spec.cycles, "cycles that count")->capture_default_str();
  app.add_option("--warm-up", spec.warm_up, "cycles before them, untraced, whose times are thrown away")
      ->capture_default_str();
  app.add_option(
         "--server", args.server,
         "blocking: gb-echo, blocked in accept(); poll:MS: gb-echo, which polls accept() with a sleep of MS; "
         "external:[ADDRESS:]PORT: your server, which listens on 127.0.0.1 or [::1] of this host")
      ->capture_default_str();
  app.add_option("--port", spec.port, "port of gb-echo (default: a free one)");
  app.add_flag("--ipv6", args.ipv6,
               "gb-echo on ::1, the client over IPv6 (as --server external:[::1]:PORT does)");
  app.add_option("--stack", args.stack,
                 "glassbox: a client in a guest, behind the NAT; loopback: a client on this host")
      ->capture_default_str();
  app.add_flag("--trace", spec.trace, "record both sides and print where each cycle's time went");
  app.add_option("--untraced", args.untraced,
                 "with --trace: cycles without it, half before and half after, for the cost of tracing "
                 "(default: as many as traced; 0: none)");
  app.add_option(
         "--json", spec.json_path,
         "write the report to this file too, as JSON (tools/bench/report/bench.schema.json); - for standard "
         "output, without the table")
      ->take_last();
  app.add_option("--keep-trace", spec.keep_trace, "keep the trace in this file, for glassbox-trace report")
      ->take_last();
  auto* const named =
      app.add_option("--case", args.named_case,
                     "accept-poll: a server that polls accept() with a sleep: its own clock compared "
                     "with the client's and with two other runs (cases/ACCEPT-POLL.md)");
  named->check(options::one_of({"accept-poll"}));
  for (const char* other : {"--workload", "--server", "--keep-trace", "--trace", "--untraced"})
    named->excludes(app.get_option(other));
  app.add_option("--vcpus", spec.vcpus, "virtual CPUs of the guest")->capture_default_str();
  app.add_option("--memory", spec.memory_mib, "MiB of the guest")->capture_default_str();
}

Result<Spec> resolve(const CrrArgs& args) {
  Spec spec = args.spec;
  GB_ASSIGN(std::string workload, parse_crr_workload(args.workload));
  spec.workloads = {std::move(workload)};
  GB_ASSIGN(spec.server, parse_server(args.server));
  spec.server.ipv6 |= args.ipv6;
  GB_ASSIGN(std::string stack, parse_crr_stack(args.stack));
  spec.stacks = {std::move(stack)};
  if (spec.trace) spec.untraced = args.untraced.value_or(spec.cycles);
  if (!spec.trace && args.untraced) return fail("--untraced needs --trace");
  GB_TRY(check_crr(spec));
  return spec;
}

void add_compare(options::App& app, Spec& spec) {
  spec.stacks = stack_names(true);
  spec.workloads = workload_names(true);
  app.add_option("--stacks", spec.stacks,
                 "stacks, by name (default: those not marked \"only if named\" below)")
      ->delimiter(',')
      ->check(options::one_of(stack_names(false)))
      ->default_str("");
  app.add_option("--workloads", spec.workloads,
                 "workloads, by name (default: all but idle-flows and half-closed)")
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
  app.add_option("--idle-flows", spec.idle_flows, "open flows of the workload idle-flows")
      ->capture_default_str();
  app.add_option("--mtu", spec.mtu, "MTU of the stacks without a guest (576 to 65520)")
      ->capture_default_str();
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
      "--no-trace", [&spec] { spec.trace_missed = false; },
      "leave out the extra runs that explain a missed target");
  app.add_flag("--explain-all", spec.explain_all, "explain the targets that are met, too");
  app.add_option("--json", spec.json_path, "write all figures to this file; -: standard output, and no table")
      ->take_last();
  app.add_option("--markdown", spec.markdown_path,
                 "write the tables to this file as Markdown; -: standard output, and no table")
      ->take_last();
  app.footer(kFooter);
}

Result<bool> run_and_report(const Spec& spec, Watch& watch) {
  GB_ASSIGN(const CompareResult result, run_compare(spec, watch));
  // The screen first: if the disk is full by now, the figures are not lost.
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
