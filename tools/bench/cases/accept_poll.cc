#include "tools/bench/cases/accept_poll.h"

#include <algorithm>
#include <array>

#include "tools/bench/measure/stats.h"
#include "tools/bench/process/background.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/report/crr_report.h"
#include "tools/trace/file/trace_reader.h"
#include "tools/trace/text/text.h"

namespace glassbox::bench {
namespace {

constexpr std::uint32_t kPollMs = 10;

struct Variant {
  const char* workload;
  ServerSpec server;
  std::string_view name;
};
constexpr std::array<Variant, 3> kVariants = {{
    {"crr-fork", {ServerKind::kPoll, kPollMs, 0}, "nc per cycle, server polls accept()"},
    {"crr-fork", {ServerKind::kBlocking, 0, 0}, "nc per cycle, server blocks"},
    {"crr", {ServerKind::kBlocking, 0, 0}, "one process, server blocks"},
}};

std::string_view variant_name(const Spec& spec) {
  for (const Variant& v : kVariants)
    if (v.workload == spec.workloads.front() && v.server.kind == spec.server.kind) return v.name;
  return "";
}

std::string time_text(std::optional<std::uint64_t> ns) {
  return trace::format_time(ns ? std::optional(static_cast<std::int64_t>(*ns)) : std::nullopt);
}

// A segment's mean, as share of the whole: what the verdicts speak of.
std::string share_of(const trace::Report& report, trace::Segment segment) {
  const auto& row = report.segments.at(static_cast<std::size_t>(segment));
  return row.share ? fmt::format("{:.1f} %", *row.share * 100) : "-";
}

std::string verdicts_of(const AcceptPollRun& run) {
  std::string text;
  for (const trace::Verdict& v : run.report->verdicts) {
    const bool of_the_case = v.id == "server_accept_wait" || v.id == "guest_fork_exec" ||
                             v.id == "net_poll_timeout" || v.id == "guest_client";
    if (!of_the_case && v.outcome != trace::Outcome::kConfirmed) continue;
    text +=
        fmt::format("  {:<17} {:<51} {}\n", trace::name_of(v.outcome), v.claim, trace::printable(v.evidence));
  }
  return text;
}

std::uint64_t p50(std::vector<std::uint64_t> ns) {
  return summarize(std::move(ns)).p50_ns.value_or(0);
}

nlohmann::json clock_json(std::vector<std::uint64_t> ns) {
  const Summary summary = summarize(std::move(ns));
  const auto us = [](std::optional<std::uint64_t> value) {
    return value ? nlohmann::json(static_cast<double>(*value) / 1e3) : nlohmann::json();
  };
  return {{"n", summary.n}, {"p50_us", us(summary.p50_ns)}, {"p90_us", us(summary.p90_ns)}};
}

// What the three runs say together.
std::string conclusion(const std::vector<AcceptPollRun>& runs) {
  const std::uint64_t server = p50(runs[0].server_ns), client = p50(runs[0].result.cycle_ns),
                      blocking = p50(runs[1].result.cycle_ns), single = p50(runs[2].result.cycle_ns);
  const auto difference = [](std::uint64_t a, std::uint64_t b) {
    return fmt::format("{}{}", a < b ? "-" : "", time_text(a < b ? b - a : a - b));
  };
  return fmt::format(
      "the polling server's clock read {} a cycle, the client's own {}; the server that blocks takes {} off "
      "the "
      "client's cycle, and one process for all cycles another {}",
      time_text(server), time_text(client), difference(client, blocking), difference(blocking, single));
}

}  // namespace

Result<std::vector<AcceptPollRun>> run_accept_poll(const Spec& base, Watch& watch) {
  Progress progress;
  GB_ASSIGN(const TempDir temp, TempDir::create());
  const auto stack = make_crr_stack(base);
  if (!stack->vm_name().empty()) progress.stage("starting the guest");
  GB_TRY(stack->start(watch));
  std::vector<AcceptPollRun> runs;
  for (const Variant& variant : kVariants) {
    Spec spec = base;
    spec.workloads = {variant.workload};
    spec.server = variant.server;
    spec.server.ipv6 = base.server.ipv6;
    spec.trace = !stack->vm_name().empty();
    GB_ASSIGN(Server server, Server::start(spec.server, spec.port));
    const Background server_watched(watch, server.child());
    const std::string trace_path = temp.file("trace");
    AcceptPollRun& run = runs.emplace_back();
    GB_ASSIGN(run.result, run_workload(spec, trace_path, *stack, server, watch, progress));
    GB_ASSIGN(run.server_ns, server.times(spec.cycles));
    if (!spec.trace) continue;
    GB_ASSIGN(const trace::Trace trace, trace::read_trace(trace_path));
    run.report = trace::make_report(trace);
    if (run.report->violation) return fail("the clocks contradict each other: {}", *run.report->violation);
  }
  if (!stack->vm_name().empty()) progress.stage("stopping the guest");
  GB_TRY(stack->stop());
  progress.clear();
  return runs;
}

std::string accept_poll_report(const std::vector<AcceptPollRun>& runs) {
  const AcceptPollRun& first = runs.front();
  const nlohmann::json& machine = first.report ? first.report->machine : first.result.machine;
  std::string text = fmt::format("{} crr, case accept-poll: {} cycles a run, sleep of {} ms\nmachine: {}\n",
                                 first.result.spec.stack(), first.result.spec.cycles, kPollMs,
                                 trace::describe_machine(machine));
  text += fmt::format("{:<38} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}\n",
                      "p50 of a cycle, and shares of it", "server clock", "client clock", "total traced",
                      "accept wait", "fork + exec", "unattributed");
  for (const AcceptPollRun& run : runs) {
    text += fmt::format("{:<38} {:>12} {:>12}", variant_name(run.result.spec), time_text(p50(run.server_ns)),
                        time_text(p50(run.result.cycle_ns)));
    if (run.report)
      text += fmt::format(" {:>12} {:>12} {:>12} {:>12}", trace::format_time(run.report->total.p50_ns),
                          share_of(*run.report, trace::Segment::server_accept_wait),
                          share_of(*run.report, trace::Segment::guest_fork_exec),
                          fmt::format("{:.1f} %", run.report->unattributed_share.value_or(0) * 100));
    text += "\n";
  }
  text +=
      "server clock: from before the accept() that looks for the client to after the reply; client clock: "
      "the "
      "whole pipeline, or socket() to close()\n";
  for (const AcceptPollRun& run : runs)
    if (run.report) text += fmt::format("verdicts, {}:\n{}", variant_name(run.result.spec), verdicts_of(run));
  return text + conclusion(runs) + "\n";
}

nlohmann::json accept_poll_json(const std::vector<AcceptPollRun>& runs) {
  const AcceptPollRun& first = runs.front();
  nlohmann::json rows = nlohmann::json::array();
  for (const AcceptPollRun& run : runs)
    rows.push_back({{"name", variant_name(run.result.spec)},
                    {"workload", crr_workload_name(run.result.spec)},
                    {"server", run.result.spec.server.kind == ServerKind::kPoll ? "poll" : "blocking"},
                    {"server_clock", clock_json(run.server_ns)},
                    {"client_clock", clock_json(run.result.cycle_ns)},
                    {"report", run.report ? trace::to_json(*run.report) : nlohmann::json()}});
  return {{"schema", 1},
          {"case", "accept-poll"},
          {"stack", first.result.spec.stack()},
          {"machine", first.report ? first.report->machine : first.result.machine},
          {"cycles", first.result.spec.cycles},
          {"poll_ms", kPollMs},
          {"runs", std::move(rows)},
          {"conclusion", conclusion(runs)}};
}

}  // namespace glassbox::bench
