// glassbox-trace: parses the command line and runs one command (commands.h).
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <functional>

#include "tools/trace/commands.h"
#include "vmm/base/log.h"
#include "vmm/base/options.h"
#include "vmm/base/standard_descriptors.h"

namespace glassbox::trace {
namespace {

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

}  // namespace
}  // namespace glassbox::trace

int main(int argc, char** argv) {
  using namespace glassbox::trace;
  namespace options = glassbox::options;
  glassbox::hold_standard_descriptors();
  glassbox::log_init("glassbox-trace", false);
  options::App app("glassbox-trace: records what a running glassbox does and shows where the time goes",
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
  args.argc = argc;
  args.argv = argv;
  std::function<int()> action;

  auto* record =
      app.add_subcommand("record", "Record a running VM, or the host side of any glassbox process");
  auto* name = record->add_option("--name", args.name,
                                  "VM to record (see `glassbox ls`); default: the only one that runs");
  record->add_option("--pid", args.pid, "process to record")->check(kFromOne)->excludes(name);
  record->add_option("-o,--output", args.file, "trace file")->required();
  record
      ->add_option("--duration", args.duration_s,
                   "how long to record, in seconds; default: until SIGINT or the end of the VM")
      ->check(kSeconds);
  record
      ->add_option("--ring-mib", args.ring_mib,
                   "size of the host's ring buffer in MiB, a power of two; 7710 events per MiB")
      ->check(options::one_of({"1", "2", "4", "8", "16", "32", "64", "128", "256", "512"}))
      ->capture_default_str();
  record
      ->add_option("--ready-fd", args.ready_fd,
                   "descriptor that receives one byte when both sides are attached")
      ->check(kDescriptor);
  record->add_option("--meta", args.meta, "JSON object to store with the trace, or a file that holds one");
  record->callback([&] { action = [&] { return run_record(args); }; });

  auto* live = app.add_subcommand(
      "live",
      "Show the host side of a running VM or process, refreshed every second: cycles per second, "
      "percentiles of the last second and the last ten, the slowest cycle, verdicts, drops");
  auto* live_name = live->add_option("--name", args.name,
                                     "VM to watch (see `glassbox ls`); default: the only one that runs");
  live->add_option("--pid", args.pid, "process to watch, for example a `glassbox netns`")
      ->check(options::positive_number())
      ->excludes(live_name);
  live->add_flag("--json", args.json, "print one JSON object per line (tools/trace/file/FORMAT.md)");
  live->add_option("--interval", args.interval_s, "seconds between two snapshots")
      ->check(options::real_range(0.1, 3600.0))
      ->capture_default_str();
  live->add_option("--duration", args.duration_s,
                   "how long to watch, in seconds; default: until SIGINT or the end of the process")
      ->check(options::positive_number());
  live->callback([&] { action = [&] { return run_live(args); }; });

  auto* report = app.add_subcommand("report", "Print where the time of each cycle went");
  report->add_option("trace", args.file, "trace file")->required();
  report->add_option("--format", args.format, "table or json (tools/trace/report/report.schema.json)")
      ->check(options::one_of({"table", "json"}))
      ->capture_default_str();
  auto* cycle =
      report
          ->add_option("--cycle", args.cycle, "print this cycle alone, boundary by boundary; the first is 1")
          ->check(kFromOne);
  report->add_option("--slowest", args.slowest, "print the N slowest cycles, boundary by boundary")
      ->check(kFromOne)
      ->excludes(cycle);
  report->add_flag("--states", args.states,
                   "also print the state of the thread that acts in each row: running, runnable, blocked");
  report->add_flag("--host-only", args.host_only,
                   "use the host's events alone, for a guest that is not trusted");
  report->add_option("--without", args.without,
                     "ignore the events of this name: their time becomes unattributed");
  report->callback([&] { action = [&] { return run_report(args); }; });

  auto* annotate = app.add_subcommand("annotate", "Add metadata to a trace");
  annotate->add_option("trace", args.file, "trace file")->required();
  annotate->add_option("--meta", args.meta, "JSON object, or a file that holds one")->required();
  annotate->callback([&] { action = [&] { return run_annotate(args); }; });

  auto* probes = app.add_subcommand("probes", "List all probes and kernel events with their arguments");
  probes->add_flag("--markdown", args.markdown, "print them as the page bpf/PROBES.md");
  probes->callback([&] { action = [&] { return run_probes(args); }; });
  auto* doctor = app.add_subcommand("doctor", "Try every kind of hook on this machine and say what works");
  doctor->add_option("--format", args.format, "table or json")
      ->check(options::one_of({"table", "json"}))
      ->capture_default_str();
  doctor->callback([&] { action = [&] { return run_doctor(args); }; });

  if (const auto parsed = app.parse(argc, argv); !parsed.proceed) {
    if (parsed.is_error) return failed(glassbox::Error{parsed.text, 0}, kExitUsage);
    return options::finish(parsed, "glassbox-trace");
  }
  return flush_output(action());
}
