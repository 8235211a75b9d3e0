// glassbox-bench: parses the command line and starts a run. What a run is: crr.h, compare/compare_run.h.
#include <csignal>
#include <cstdio>
#include <optional>

#include "tools/bench/cases/accept_poll.h"
#include "tools/bench/cli.h"
#include "tools/bench/measure/crr.h"
#include "tools/bench/process/carry_on.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/report/estimate.h"
#include "tools/bench/report/output.h"
#include "tools/bench/stacks/qemu_stack.h"
#include "vmm/base/lab.h"
#include "vmm/base/log.h"
#include "vmm/base/options.h"
#include "vmm/base/standard_descriptors.h"
#include "vmm/kvm/usability.h"

namespace glassbox::bench {
namespace {

struct Args {
  std::string workload = "fork";
  std::string server = "blocking";
  std::string stack = "glassbox";
  std::string named_case;
  bool ipv6 = false;
  std::optional<std::uint32_t> untraced;
  CrrSpec spec;
};

void add_crr(options::App& app, Args& args) {
  CrrSpec& spec = args.spec;
  app.add_option("--workload", args.workload, "fork: a fresh busybox nc per cycle; single: one process")
      ->capture_default_str();
  app.add_option("--cycles", spec.cycles, "cycles that count")->capture_default_str();
  app.add_option("--warm-up", spec.warm_up, "cycles before them, untraced and thrown away")
      ->capture_default_str();
  app.add_option("--server", args.server,
                 "blocking: ours, blocked in accept(); poll:MS: ours, accept() polled with a sleep of MS; "
                 "external:[ADDRESS:]PORT: yours, listening on this host already, at 127.0.0.1 or [::1]")
      ->capture_default_str();
  app.add_option("--port", spec.port, "port of our server (default: a free one)");
  app.add_flag("--ipv6", args.ipv6,
               "our server on ::1, the client over IPv6 (as --server external:[::1]:PORT does)");
  app.add_option("--stack", args.stack, "glassbox: a guest behind our NAT; loopback: the client natively")
      ->capture_default_str();
  app.add_flag("--trace", spec.trace, "record both sides and print where each cycle's time went");
  app.add_option("--untraced", args.untraced,
                 "with --trace: cycles without it, half before and half after, to tell what tracing costs "
                 "(default: as many as traced; 0: none)");
  app.add_option(
         "--json", spec.json_path,
         "write the report to this file too, as JSON (tools/trace/report/report.schema.json; of a --case "
         "see its page); - for standard output, and nothing else")
      ->take_last();
  app.add_option("--keep-trace", spec.keep_trace, "keep the trace in this file, for glassbox-trace report")
      ->take_last();
  auto* const named =
      app.add_option("--case", args.named_case,
                     "accept-poll: a server that polls accept() with a sleep, and what its clock "
                     "reads, beside the client's own clock and two other runs (ACCEPT-POLL.md)");
  named->check(options::one_of({"accept-poll"}));
  for (const char* other : {"--workload", "--server", "--keep-trace", "--trace", "--untraced"})
    named->excludes(app.get_option(other));
  app.add_option("--vcpus", spec.vcpus, "virtual CPUs of the guest")->capture_default_str();
  app.add_option("--memory", spec.memory_mib, "MiB of the guest")->capture_default_str();
}

Result<CrrSpec> resolve(const Args& args) {
  CrrSpec spec = args.spec;
  GB_ASSIGN(spec.workload, parse_workload(args.workload));
  GB_ASSIGN(spec.server, parse_server(args.server));
  spec.server.ipv6 |= args.ipv6;
  GB_ASSIGN(spec.stack, parse_stack(args.stack));
  if (spec.trace) spec.untraced = args.untraced.value_or(spec.cycles);
  if (!spec.trace && args.untraced) return fail("--untraced is of no use without --trace");
  GB_TRY(check(spec));
  return spec;
}

Status accept_poll(const CrrSpec& spec, Watch& watch) {
  GB_ASSIGN(const auto runs, run_accept_poll(spec, watch));
  if (!spec.json_path.empty()) {
    const std::string json =
        accept_poll_json(runs).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    if (spec.json_path == "-") return print_report(json);
    GB_TRY(write_file(spec.json_path, json));
  }
  return print_report(accept_poll_report(runs));
}

Status crr(const CrrSpec& spec, Watch& watch) {
  GB_ASSIGN(const TempDir temp, TempDir::create());
  const std::string trace_path = temp.file("trace");
  GB_ASSIGN(const CrrResult result, run_crr(spec, trace_path, watch));
  return spec.trace ? print_trace_report(result, trace_path, watch) : print_client_report(result);
}

// Ended as the signal would have ended us, now that everything is put away.
void end_by_signal(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  std::signal(number, SIG_DFL);
  std::raise(number);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

// The exit status where one of the files cannot be written: asked before the lab is started for minutes.
std::optional<int> refuse_unwritable(const std::vector<OutputFile>& files) {
  for (const OutputFile& file : files) {
    if (const Status status = check_writable(file.path); !status) {
      spdlog::error("{}", status.error().message);
      return 1;
    }
  }
  return std::nullopt;
}

// Where it has to run: here, or in the lab, and then to its exit status.
std::optional<int> run_elsewhere(int argc, char** argv, const std::vector<OutputFile>& files,
                                 const std::string& in_there = {}) {
  if (in_lab()) return std::nullopt;
  const auto kvm = kvm::check_kvm();
  if (kvm.usable) return std::nullopt;
  if (!in_there.empty()) fmt::print(stderr, "glassbox-bench: {}\n", in_there);
  const auto status = carry_on_with_files(argc, argv, kvm.reason, files);
  if (status) return *status;
  spdlog::error("{}", status.error().message);
  return 1;
}

template <typename Run>
int watched(Run run) {
  // A reader that goes away in the midst of a run must not take us with it: stacks and guests are ours to
  // end.
  std::signal(SIGPIPE, SIG_IGN);
  auto watch = Watch::create();
  if (!watch) {
    spdlog::error("{}", watch.error().message);
    return 1;
  }
  const Result<bool> whole = run(*watch);
  if (const int number = watch->signal(); number != 0) end_by_signal(number);
  if (!whole) spdlog::error("{}", whole.error().message);
  return whole && *whole ? 0 : 1;
}

int usage_error(const Error& error) {
  spdlog::error("{}", error.message);
  return 2;
}

int run_crr_command(int argc, char** argv, const Args& args) {
  const auto spec = resolve(args);
  if (!spec) return usage_error(spec.error());
  const std::vector<OutputFile> files{{"--json", spec->json_path}, {"--keep-trace", spec->keep_trace}};
  if (const Status status = check_apart(files[0], files[1]); !status) return usage_error(status.error());
  if (const auto status = refuse_unwritable(files)) return *status;
  if (spec->stack == StackKind::kGlassbox) {
    if (const auto status = run_elsewhere(argc, argv, files)) return *status;
  }
  return watched([&](Watch& watch) -> Result<bool> {
    GB_TRY(args.named_case.empty() ? crr(*spec, watch) : accept_poll(*spec, watch));
    return true;
  });
}

int run_compare_command(int argc, char** argv, const CompareSpec& spec) {
  if (const Status status = check(spec); !status) return usage_error(status.error());
  const std::vector<OutputFile> files{{"--json", spec.json_path}, {"--markdown", spec.markdown_path}};
  if (const Status status = check_apart(files[0], files[1]); !status) return usage_error(status.error());
  if (const auto status = refuse_unwritable(files)) return *status;
  if (needs_kvm(spec)) {
    const auto status = run_elsewhere(argc, argv, files, announce(spec, true));
    if (status) return *status;
  }
  return watched([&](Watch& watch) { return run_and_report(spec, watch); });
}

// A command that this program gives itself, for the clients in QEMU's guests.
std::optional<int> own_errand(int argc, char** argv) {
  if (argc < 4 || std::string_view(argv[1]) != "in-guest") return std::nullopt;
  const auto cid = static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10));
  return run_in_guest(cid, {argv + 3, argv + argc});
}

}  // namespace
}  // namespace glassbox::bench

int main(int argc, char** argv) {
  using namespace glassbox;
  hold_standard_descriptors();
  if (const auto status = bench::own_errand(argc, argv)) return *status;
  log_init("glassbox-bench", false);
  options::App app{"Benchmarks of glassbox: how long a connect-request-response cycle takes, and where"};
  app.set_version_flag("--version", "glassbox-bench " GLASSBOX_VERSION);
  app.require_subcommand(1);
  bench::Args args;
  bench::CompareSpec compare;
  bench::add_crr(*app.add_subcommand("crr", "TCP connect, one byte there and back, close"), args);
  options::App* const compare_command =
      app.add_subcommand("compare", "Stacks beside their peers, interleaved, in one table");
  bench::add_compare(*compare_command, compare);
  if (const auto parsed = app.parse(argc, argv); !parsed.proceed)
    return options::finish(parsed, "glassbox-bench");
  return compare_command->parsed() ? bench::run_compare_command(argc, argv, compare)
                                   : bench::run_crr_command(argc, argv, args);
}
