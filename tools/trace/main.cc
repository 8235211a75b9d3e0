// glassbox-trace: parses the command line; what the commands do is in record.h, report.h and doctor.h.
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>

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
#include "vmm/base/log.h"
#include "vmm/base/options.h"
#include "vmm/base/standard_descriptors.h"

namespace glassbox::trace {
namespace {

constexpr int kExitFailure = 1, kExitUsage = 2;
constexpr std::size_t kMaxRingMib = 512;

int failed(const Error& error, int status = kExitFailure) {
  spdlog::error("{}", error.message);
  return status;
}

// JSON text, or the name of a file that has it.
Result<nlohmann::json> parse_meta(const std::string& argument) {
  std::string text = argument;
  if (!text.starts_with("{")) {
    std::ifstream in(argument);
    if (!in) return fail("--meta: \"{}\" is neither a JSON object nor a file", argument);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (!value.is_object()) return fail("--meta: not a JSON object");
  return value;
}

const options::Check kFromOne{
    [](const std::string& text) {
      std::size_t value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      const bool good = error == std::errc() && end == text.data() + text.size() && value > 0;
      return good ? std::string() : fmt::format("\"{}\" is not a whole number from 1 on", text);
    },
    "N"};
constexpr double kMostSeconds = 1e9;
const options::Check kSeconds{
    [](const std::string& text) {
      char* end = nullptr;
      const double value = std::strtod(text.c_str(), &end);
      const bool good = end != text.c_str() && *end == '\0' && value > 0 && value <= kMostSeconds;
      return good ? std::string() : fmt::format("\"{}\" is not a number of seconds above 0", text);
    },
    "SECONDS"};
const options::Check kDescriptor{
    [](const std::string& text) {
      int fd = -1;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
      const bool good = error == std::errc() && end == text.data() + text.size() && fd > STDERR_FILENO &&
                        ::fcntl(fd, F_GETFD) >= 0;
      return good ? std::string() : fmt::format("\"{}\" is not an open descriptor above 2", text);
    },
    "FD"};

// fmt::print() throws where there is no room; who cannot be told is not told.
void say(const std::string& text) {
  (void)std::fputs(("glassbox-trace: " + text + "\n").c_str(), stderr);
}

// A report that nobody got is no success.
int flushed(int status) {
  std::cout.flush();
  if (std::cout) return status;
  // The stream does not say why: one more byte does.
  const int why = ::write(STDOUT_FILENO, "\n", 1) < 0 ? errno : EIO;
  return failed(Error{fmt::format("cannot write to standard output: {}", std::strerror(why)), why});
}

struct Args {
  std::string name, file, meta, format = "table";
  pid_t pid = 0;
  std::size_t ring_mib = 16;
  double duration_s = 0;
  int ready_fd = -1;
  std::size_t cycle = 0, slowest = 0;
  bool states = false, markdown = false, json = false, host_only = false;
  double interval_s = 1;
  std::vector<std::string> without;
};

int run_record(const Args& args, int argc, char** argv) {
  RecordOptions options;
  if (!args.meta.empty()) {
    auto meta = parse_meta(args.meta);
    if (!meta) return failed(meta.error(), kExitUsage);
    options.meta = std::move(*meta);
  }
  auto target = find_target(args.name.empty() ? std::nullopt : std::optional(args.name),
                            args.pid == 0 ? std::nullopt : std::optional(args.pid));
  if (!target) {
    if (args.pid == 0 && lab_runs())
      return failed(record_in_lab(argc, argv, args.file, target.error().message));
    return failed(target.error());
  }
  options.target = std::move(*target);
  options.output = args.file;
  if (args.duration_s > 0) options.duration_s = args.duration_s;
  options.ready_fd = args.ready_fd;
  options.ring_bytes = args.ring_mib << 20;
  std::signal(SIGPIPE, SIG_IGN);  // a guest that goes away is an error value
  const auto summary = record(options);
  if (!summary) return failed(summary.error());
  if (!summary->note.empty()) spdlog::warn("{}", printable(summary->note));
  say(fmt::format("{}: {} events of the host ({} lost), {} of the guest ({} lost) in {}",
                  options.target.description, summary->host_events, summary->host_drops,
                  summary->guest_events, summary->guest_drops, args.file));
  if (!summary->losses.empty()) say("lost: " + summary->losses);
  if (summary->host_drops > 0 && args.ring_mib < kMaxRingMib)
    say(fmt::format("a larger ring buffer may take them: --ring-mib {}", args.ring_mib * 2));
  return 0;
}

int run_live(const Args& args, int argc, char** argv) {
  auto target = find_target(args.name.empty() ? std::nullopt : std::optional(args.name),
                            args.pid == 0 ? std::nullopt : std::optional(args.pid));
  if (!target) {
    if (args.pid == 0 && lab_runs()) return failed(record_in_lab(argc, argv, {}, target.error().message));
    return failed(target.error());
  }
  LiveOptions options{std::move(*target), args.json, {}, args.interval_s};
  if (args.duration_s > 0) options.duration_s = args.duration_s;
  const Status status = live(options);
  return status ? 0 : failed(status.error());
}

int print_cycles(const Trace& trace, const Args& args) {
  Attribution a = attribute(trace, derive_clock(trace));
  if (args.cycle > 0) {
    if (args.cycle > a.cycles.size())
      return failed(
          Error{fmt::format("--cycle {}: {} has {} cycles", args.cycle, args.file, a.cycles.size()), 0},
          kExitUsage);
    std::cout << format_waterfall(a.cycles[args.cycle - 1], args.cycle);
    return 0;
  }
  std::vector<std::size_t> order(a.cycles.size());
  for (std::size_t k = 0; k < order.size(); ++k)
    order[k] = k;
  std::stable_sort(order.begin(), order.end(), [&a](std::size_t x, std::size_t y) {
    return a.cycles[x].total_ns() > a.cycles[y].total_ns();
  });
  for (std::size_t k = 0; k < std::min(args.slowest, order.size()); ++k)
    std::cout << format_waterfall(a.cycles[order[k]], order[k] + 1);
  return 0;
}

// As if every event of that kind had been lost.
Status take_out(Trace& trace, const std::string& name) {
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

int run_report(const Args& args) {
  auto trace = read_trace(args.file);
  if (!trace) return failed(trace.error());
  for (const std::string& name : args.without)
    if (const Status status = take_out(*trace, name); !status) return failed(status.error(), kExitUsage);
  if (args.host_only) {
    *trace = host_side(std::move(*trace));
    trace->notes.emplace_back("--host-only: what the guest says is left out");
  }
  if (args.cycle > 0 || args.slowest > 0) return print_cycles(*trace, args);
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

}  // namespace
}  // namespace glassbox::trace

int main(int argc, char** argv) {
  using namespace glassbox::trace;
  namespace options = glassbox::options;
  glassbox::hold_standard_descriptors();
  glassbox::log_init("glassbox-trace", false);
  options::App app("glassbox-trace: records what a running glassbox does, and says where the time went",
                   "glassbox-trace");
  app.set_version_flag("--version", "glassbox-trace " GLASSBOX_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  glassbox-trace record --name demo -o demo.trace --duration 10\n"
      "  glassbox-trace live --name demo\n"
      "  glassbox-trace report demo.trace\n"
      "  glassbox-trace report demo.trace --format json | jq .segments\n"
      "  glassbox-trace report demo.trace --slowest 3\n"
      "Exit status: 0, 1 failure (also: the clocks contradict each other, no complete cycle), 2 usage.");
  Args args;
  std::function<int()> action;

  auto* record =
      app.add_subcommand("record", "Record a running VM, or the host side of any glassbox process");
  auto* name =
      record->add_option("--name", args.name, "VM to record (see `glassbox ls`); the only one if left out");
  record->add_option("--pid", args.pid, "process to record")->check(kFromOne)->excludes(name);
  record->add_option("-o,--output", args.file, "trace file")->required();
  record->add_option("--duration", args.duration_s, "seconds; else until SIGINT or the VM's end")
      ->check(kSeconds);
  record
      ->add_option("--ring-mib", args.ring_mib,
                   "the host's ring buffer in MiB, a power of two: 7710 events each")
      ->check(options::one_of({"1", "2", "4", "8", "16", "32", "64", "128", "256", "512"}))
      ->capture_default_str();
  record
      ->add_option("--ready-fd", args.ready_fd, "descriptor that gets one byte when both sides are attached")
      ->check(kDescriptor);
  record->add_option("--meta", args.meta, "JSON object to keep with the trace, or a file that has it");
  record->callback([&] { action = [&] { return run_record(args, argc, argv); }; });

  auto* live = app.add_subcommand(
      "live",
      "Show the host side of a running VM or process, refreshed every second: cycles a second, "
      "percentiles of the last second and the last ten, the slowest cycle, verdicts, drops");
  auto* live_name =
      live->add_option("--name", args.name, "VM to watch (see `glassbox ls`); the only one if left out");
  live->add_option("--pid", args.pid, "process to watch, for example a `glassbox netns`")
      ->check(options::positive_number())
      ->excludes(live_name);
  live->add_flag("--json", args.json, "one JSON object a line (FORMAT.md)");
  live->add_option("--interval", args.interval_s, "seconds between two looks")
      ->check(options::real_range(0.1, 3600.0))
      ->capture_default_str();
  live->add_option("--duration", args.duration_s, "seconds; else until SIGINT or the process's end")
      ->check(options::positive_number());
  live->callback([&] { action = [&] { return run_live(args, argc, argv); }; });

  auto* report = app.add_subcommand("report", "Print where each cycle's time went");
  report->add_option("trace", args.file, "trace file")->required();
  report->add_option("--format", args.format, "table, or json (tools/trace/report/report.schema.json)")
      ->check(options::one_of({"table", "json"}))
      ->capture_default_str();
  auto* cycle =
      report->add_option("--cycle", args.cycle, "one cycle, boundary by boundary; from 1")->check(kFromOne);
  report->add_option("--slowest", args.slowest, "the N slowest cycles, boundary by boundary")
      ->check(kFromOne)
      ->excludes(cycle);
  report->add_flag("--states", args.states,
                   "also say what the host's threads did: running, runnable, blocked");
  report->add_flag("--host-only", args.host_only,
                   "what the host saw alone: no word of a guest that is not to be trusted counts");
  report->add_option("--without", args.without,
                     "leave out events of this name: what is unattributed must rise by it");
  report->callback([&] { action = [&] { return run_report(args); }; });

  auto* annotate = app.add_subcommand("annotate", "Add metadata to a trace");
  annotate->add_option("trace", args.file, "trace file")->required();
  annotate->add_option("--meta", args.meta, "JSON object, or a file that has it")->required();
  annotate->callback([&] { action = [&] { return run_annotate(args); }; });

  auto* probes = app.add_subcommand("probes", "List all probes and kernel events with their arguments");
  probes->add_flag("--markdown", args.markdown, "as the documentation page bpf/PROBES.md");
  probes->callback([&] { action = [&] { return run_probes(args); }; });
  auto* doctor = app.add_subcommand("doctor", "Try every way of tracing on this machine");
  doctor->add_option("--format", args.format, "table or json")
      ->check(options::one_of({"table", "json"}))
      ->capture_default_str();
  doctor->callback([&] { action = [&] { return run_doctor(args); }; });

  if (const auto parsed = app.parse(argc, argv); !parsed.proceed) {
    if (parsed.is_error) return failed(glassbox::Error{parsed.text, 0}, kExitUsage);
    return options::finish(parsed, "glassbox-trace");
  }
  return flushed(action());
}
