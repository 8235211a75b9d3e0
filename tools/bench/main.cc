// glassbox-bench: parses the command line and starts a run (measure/crr.h, measure/compare_run.h).
#include <csignal>
#include <cstdio>
#include <optional>

#include "tools/bench/cases/accept_poll.h"
#include "tools/bench/cli.h"
#include "tools/bench/measure/crr.h"
#include "tools/bench/process/lab_run.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/report/estimate.h"
#include "tools/bench/report/output.h"
#include "tools/bench/stacks/bare_nat.h"
#include "tools/bench/stacks/namespace_holder.h"
#include "tools/bench/stacks/open_flows.h"
#include "tools/bench/stacks/qemu_stack.h"
#include "tools/bench/stacks/relay.h"
#include "tools/bench/stacks/stack_list.h"
#include "vmm/base/lab.h"
#include "vmm/base/log.h"
#include "vmm/base/options.h"
#include "vmm/base/standard_descriptors.h"
#include "vmm/kvm/usability.h"

namespace glassbox::bench {
namespace {

Status accept_poll(const Spec& spec, Watch& watch) {
  GB_ASSIGN(const auto runs, run_accept_poll(spec, watch));
  if (!spec.json_path.empty()) {
    const std::string json =
        accept_poll_json(runs).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    if (spec.json_path == "-") return print_report(json);
    GB_TRY(write_file(spec.json_path, json));
  }
  return print_report(accept_poll_report(runs));
}

Status crr(const Spec& spec, Watch& watch) {
  GB_ASSIGN(const TempDir temp, TempDir::create());
  const std::string trace_path = temp.file("trace");
  GB_ASSIGN(const CrrResult result, run_crr(spec, trace_path, watch));
  return spec.trace ? print_trace_report(result, trace_path, watch) : print_client_report(result);
}

// Ends the process as the signal would have, after everything was stopped.
void end_by_signal(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  std::signal(number, SIG_DFL);
  std::raise(number);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

// The exit status if one of the files cannot be written. Checked before the lab, which takes minutes, starts.
std::optional<int> refuse_unwritable(const std::vector<OutputFile>& files) {
  for (const OutputFile& file : files) {
    if (const Status status = check_writable(file.path); !status) {
      spdlog::error("{}", status.error().message);
      return 1;
    }
  }
  return std::nullopt;
}

// Empty to run here; otherwise the exit status of the run in the lab.
std::optional<int> run_elsewhere(int argc, char** argv, const std::vector<OutputFile>& files,
                                 const std::string& in_there = {}) {
  if (in_lab()) return std::nullopt;
  const auto kvm = kvm::check_kvm();
  if (kvm.usable) return std::nullopt;
  if (!in_there.empty()) fmt::print(stderr, "glassbox-bench: {}\n", in_there);
  const auto status = run_in_lab_with_files(argc, argv, kvm.reason, files);
  if (status) return *status;
  spdlog::error("{}", status.error().message);
  return 1;
}

template <typename Run>
int watched(Run run) {
  // A reader that goes away during a run must not end the launcher, which has to stop stacks and guests.
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

int run_crr_command(int argc, char** argv, const CrrArgs& args) {
  const auto spec = resolve(args);
  if (!spec) return usage_error(spec.error());
  const std::vector<OutputFile> files{{"--json", spec->json_path}, {"--keep-trace", spec->keep_trace}};
  if (const Status status = check_apart(files[0], files[1]); !status) return usage_error(status.error());
  if (const auto status = refuse_unwritable(files)) return *status;
  if (spec->has_guest()) {
    if (const auto status = run_elsewhere(argc, argv, files)) return *status;
  }
  return watched([&](Watch& watch) -> Result<bool> {
    GB_TRY(args.named_case.empty() ? crr(*spec, watch) : accept_poll(*spec, watch));
    return true;
  });
}

int run_compare_command(int argc, char** argv, const Spec& spec) {
  if (const Status status = check_compare(spec); !status) return usage_error(status.error());
  const std::vector<OutputFile> files{{"--json", spec.json_path}, {"--markdown", spec.markdown_path}};
  if (const Status status = check_apart(files[0], files[1]); !status) return usage_error(status.error());
  if (const auto status = refuse_unwritable(files)) return *status;
  if (needs_kvm(spec)) {
    const auto status = run_elsewhere(argc, argv, files, announce(spec, true));
    if (status) return *status;
  }
  return watched([&](Watch& watch) { return run_and_report(spec, watch); });
}

// Commands that this program runs itself: clients in QEMU's guests, processes in namespaces, servers. They
// are not in --help.
std::optional<int> run_inner_command(int argc, char** argv) {
  const std::string_view command = argc > 2 ? argv[1] : "";
  const auto number = [&](int index) { return argc > index ? std::strtoul(argv[index], nullptr, 10) : 0; };
  const auto port = [&](int index) { return static_cast<std::uint16_t>(number(index)); };
  if (command == "hold-namespace") return hold_namespace(argv[2], argc > 3);
  if (command == "serve-open-flows") serve_open_flows(static_cast<int>(number(2)));
  if (command == "open-flows" && argc > 4)
    return keep_flows_open(argv[2], port(3), static_cast<std::uint32_t>(number(4)));
  if (command == "relay" && argc > 3) serve_relay(static_cast<int>(number(2)), port(3));
  if (command == "in-guest" && argc > 3)
    return run_in_guest(static_cast<std::uint32_t>(number(2)), {argv + 3, argv + argc});
  if (command == "bare-nat" && argc > 3) {
    const auto status = run_bare_nat({argv + 3, argv + argc}, std::string_view(argv[2]) == "spin");
    if (status) return *status;
    fmt::print(stderr, "glassbox-bench bare-nat: {}\n", status.error().message);
    return 1;
  }
  return std::nullopt;
}

}  // namespace
}  // namespace glassbox::bench

int main(int argc, char** argv) {
  using namespace glassbox;
  hold_standard_descriptors();
  if (const auto status = bench::run_inner_command(argc, argv)) return *status;
  log_init("glassbox-bench", false);
  options::App app{"Benchmarks of glassbox: how long a connect-request-response cycle takes, and where"};
  app.set_version_flag("--version", "glassbox-bench " GLASSBOX_VERSION);
  app.require_subcommand(1);
  bench::CrrArgs args;
  bench::Spec compare;
  bench::add_crr(*app.add_subcommand("crr", "TCP connect, one byte there and back, close"), args);
  options::App* const compare_command =
      app.add_subcommand("compare", "Stacks and their peers, interleaved, in one table");
  bench::add_compare(*compare_command, compare);
  if (const auto parsed = app.parse(argc, argv); !parsed.proceed)
    return options::finish(parsed, "glassbox-bench");
  return compare_command->parsed() ? bench::run_compare_command(argc, argv, compare)
                                   : bench::run_crr_command(argc, argv, args);
}
