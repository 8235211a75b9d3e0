#include "tools/trace/commands.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iostream>
#include <numeric>

#include "tools/trace/doctor/doctor.h"
#include "tools/trace/file/kinds.h"
#include "tools/trace/file/trace_reader.h"
#include "tools/trace/file/trace_writer.h"
#include "tools/trace/live/live.h"
#include "tools/trace/record/lab_target.h"
#include "tools/trace/record/record.h"
#include "tools/trace/report/probes_page.h"
#include "tools/trace/report/report.h"
#include "tools/trace/report/waterfall.h"
#include "tools/trace/text/text.h"

namespace glassbox::trace {
namespace {

constexpr std::size_t kMaxRingMib = 512;

// `argument` is JSON text, or the name of a file that holds it.
Result<nlohmann::json> parse_meta(const std::string& argument) {
  std::string text = argument;
  if (!text.starts_with("{")) {
    std::ifstream in(argument);
    if (!in) return fail("--meta: \"{}\" is neither a JSON object nor a file", argument);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (!value.is_object()) return fail("--meta: \"{}\" does not hold a JSON object", argument);
  return value;
}

// A line on stderr. Not fmt::print(), which throws if stderr cannot be written: that failure is ignored.
void say(const std::string& text) {
  (void)std::fputs(("glassbox-trace: " + text + "\n").c_str(), stderr);
}

Result<RecordTarget> target_of(const Args& args) {
  return find_target(args.name.empty() ? std::nullopt : std::optional(args.name),
                     args.pid == 0 ? std::nullopt : std::optional(args.pid));
}

// The target was not found here. Unless it was named by pid, it may run in the lab: then repeats the command
// there. Returns only an error.
Error continue_in_lab(const Args& args, const std::string& output, const Error& error) {
  if (args.pid == 0 && lab_runs()) return record_in_lab(args.argc, args.argv, output, error.message);
  return error;
}

int print_cycle(const Trace& trace, const Args& args) {
  const Attribution a = attribute(trace, derive_clock(trace));
  if (args.cycle > a.cycles.size())
    return failed(
        Error{fmt::format("--cycle {}: {} has {} cycles", args.cycle, args.file, a.cycles.size()), 0},
        kExitUsage);
  std::cout << format_waterfall(a.cycles[args.cycle - 1], args.cycle);
  return 0;
}

int print_slowest(const Trace& trace, const Args& args) {
  const Attribution a = attribute(trace, derive_clock(trace));
  std::vector<std::size_t> order(a.cycles.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&a](std::size_t x, std::size_t y) {
    return a.cycles[x].total_ns() > a.cycles[y].total_ns();
  });
  for (std::size_t k = 0; k < std::min(args.slowest, order.size()); ++k)
    std::cout << format_waterfall(a.cycles[order[k]], order[k] + 1);
  return 0;
}

// Removes the events of that name from the trace, as if every one of them had been lost.
Status remove_events(Trace& trace, const std::string& name) {
  for (const auto list : {bpf::probes(), bpf::kernel_events()}) {
    for (const bpf::EventInfo& info : list) {
      if (info.name != name) continue;
      for (Side* side : {&trace.host, &trace.guest})
        std::erase_if(side->events, [&info](const gb_event& e) { return e.kind == info.kind; });
      trace.notes.push_back("without the events " + name);
      return {};
    }
  }
  return fail("--without: there is no event {} (see `glassbox-trace probes`)", name);
}

}  // namespace

int failed(const Error& error, int status) {
  spdlog::error("{}", error.message);
  return status;
}

int flush_output(int status) {
  std::cout.flush();
  if (std::cout) return status;
  // The stream does not keep errno: write one more byte to learn it.
  const int why = ::write(STDOUT_FILENO, "\n", 1) < 0 ? errno : EIO;
  return failed(Error{fmt::format("cannot write to standard output: {}", std::strerror(why)), why});
}

int run_record(const Args& args) {
  RecordOptions options;
  if (!args.meta.empty()) {
    auto meta = parse_meta(args.meta);
    if (!meta) return failed(meta.error(), kExitUsage);
    options.meta = std::move(*meta);
  }
  auto target = target_of(args);
  if (!target) return failed(continue_in_lab(args, args.file, target.error()));
  options.target = std::move(*target);
  options.output = args.file;
  if (args.duration_s > 0) options.duration_s = args.duration_s;
  options.ready_fd = args.ready_fd;
  options.ring_bytes = args.ring_mib << 20;
  std::signal(SIGPIPE, SIG_IGN);  // a guest that hangs up is an error value
  const auto summary = record(options);
  if (!summary) return failed(summary.error());
  if (!summary->note.empty()) spdlog::warn("{}", printable(summary->note));
  say(fmt::format("{}: {} events of the host ({} lost), {} of the guest ({} lost) in {}",
                  options.target.description, summary->host_events, summary->host_drops,
                  summary->guest_events, summary->guest_drops, args.file));
  if (!summary->losses.empty()) say("lost: " + summary->losses);
  if (summary->host_drops > 0 && args.ring_mib < kMaxRingMib)
    say(fmt::format("a larger ring buffer may hold them: --ring-mib {}", args.ring_mib * 2));
  return 0;
}

int run_live(const Args& args) {
  auto target = target_of(args);
  if (!target) return failed(continue_in_lab(args, {}, target.error()));
  LiveOptions options{std::move(*target), args.json, {}, args.interval_s};
  if (args.duration_s > 0) options.duration_s = args.duration_s;
  const Status status = live(options);
  return status ? 0 : failed(status.error());
}

int run_report(const Args& args) {
  auto trace = read_trace(args.file);
  if (!trace) return failed(trace.error());
  for (const std::string& name : args.without)
    if (const Status status = remove_events(*trace, name); !status) return failed(status.error(), kExitUsage);
  if (args.host_only) {
    *trace = host_side(std::move(*trace));
    trace->notes.emplace_back("--host-only: the guest's events are left out");
  }
  if (args.cycle > 0) return print_cycle(*trace, args);
  if (args.slowest > 0) return print_slowest(*trace, args);
  const Report report = make_report(*trace);
  if (args.format == "json")
    std::cout << to_json(report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  else
    std::cout << format_table(report) << (args.states ? format_states(report) : "");
  std::cout.flush();
  if (report.violation)
    return failed(
        Error{fmt::format("{}: the clocks contradict each other: {}", args.file, *report.violation), 0});
  if (report.complete == 0) return failed(Error{args.file + ": no complete cycle in the trace", 0});
  return 0;
}

int run_annotate(const Args& args) {
  const auto meta = parse_meta(args.meta);
  if (!meta) return failed(meta.error(), kExitUsage);
  auto writer = TraceWriter::append(args.file);
  if (!writer) return failed(writer.error());
  if (const Status status = writer->add_meta(*meta); !status) return failed(status.error());
  return 0;
}

int run_probes(const Args& args) {
  std::cout << (args.markdown ? probes_markdown() : probes_text());
  return 0;
}

int run_doctor(const Args& args) {
  const std::vector<Finding> findings = examine_machine();
  std::cout << (args.format == "json" ? findings_json(findings).dump(2) + "\n" : findings_text(findings));
  return fit_to_trace(findings) ? 0 : kExitFailure;
}

}  // namespace glassbox::trace
