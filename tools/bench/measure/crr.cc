#include "tools/bench/measure/crr.h"

#include <fmt/chrono.h>

#include <ctime>

#include "tools/bench/measure/clock_steps.h"
#include "tools/bench/measure/recorder.h"
#include "tools/bench/process/background.h"
#include "tools/bench/process/progress.h"
#include "tools/bench/report/describe.h"
#include "tools/bench/stacks/server.h"
#include "tools/bench/stacks/stack.h"
#include "tools/bench/workload.h"
#include "tools/trace/file/trace_writer.h"
#include "tools/trace/record/machine.h"
#include "vmm/base/lab.h"

namespace glassbox::bench {
namespace {

// Without a finished cycle for this long, a run is stuck. The slowest honest cycle is a poll of 60 s.
constexpr int kStallS = 120;

class Run {
 public:
  Run(const CrrSpec& spec, Stack& stack, Server& server, Watch& watch, Progress& progress)
      : spec_(spec), stack_(stack), server_(server), watch_(watch), progress_(progress) {}

  // Runs the client for `cycles` cycles and returns their times.
  Result<std::vector<std::uint64_t>> cycles(std::uint32_t count) {
    const ServerAddress target{stack_.host(), server_.port()};
    auto argv = client_command(spec_.workload, target, count, stack_.shell(), stack_.single_client());
    GB_ASSIGN(const ClockSteps steps, ClockSteps::watch());
    GB_ASSIGN(auto client, stack_.run_client(std::move(argv)));
    const std::uint64_t before = served();
    auto pulse = [&]() -> std::uint64_t {
      const std::uint64_t done = served() - before;
      if (server_.served() != nullptr) progress_.count(done, count);
      return done;
    };
    // An external server does not count, so its limit is for the whole run.
    const int limit_s = server_.served() != nullptr ? kStallS : kStallS + static_cast<int>(count);
    GB_ASSIGN(const ExitStatus status, watch_.wait(*client, limit_s, pulse));
    if (!status.ok()) return fail("{}", client->epitaph());
    const bool shell_here = spec_.workload == WorkloadKind::kFork && spec_.stack == StackKind::kLoopback;
    if (shell_here) GB_TRY(steps.check());
    return parse_client(spec_.workload, client->out(), count);
  }

 private:
  std::uint64_t served() const {
    return server_.served() == nullptr ? 0 : server_.served()->load(std::memory_order_relaxed);
  }
  const CrrSpec& spec_;
  Stack& stack_;
  Server& server_;
  Watch& watch_;
  Progress& progress_;
};

// The report is then made from the trace alone, now or later.
Status add_description(const std::string& trace_path, const CrrResult& result) {
  GB_ASSIGN(auto writer, trace::TraceWriter::append(trace_path));
  GB_TRY(writer.add_meta(describe(result, summarize(result.cycle_ns))));
  return writer.flush();
}

}  // namespace

Result<CrrResult> run_workload(const CrrSpec& spec, const std::string& trace_path, Stack& stack,
                               Server& server, Watch& watch, Progress& progress) {
  CrrResult result{spec, server.port(), {}, nullptr, {}};
  if (!spec.trace) result.machine = trace::machine_info(stack.pid());
  if (!spec.trace && in_lab()) result.machine["kind"] = "lab";  // also where the stack runs no VM
  Run run(spec, stack, server, watch, progress);
  if (spec.warm_up > 0) {
    progress.stage("warm-up cycle");
    GB_TRY(run.cycles(spec.warm_up));
  }
  // A block of the untraced cycles around a trace.
  const auto untraced = [&](std::uint32_t count) -> Status {
    if (!spec.trace || count == 0) return {};
    progress.stage("untraced cycle");
    GB_ASSIGN(const auto times, run.cycles(count));
    result.untraced_ns.insert(result.untraced_ns.end(), times.begin(), times.end());
    return {};
  };
  GB_TRY(untraced(spec.untraced / 2));
  result.measured_at = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  if (spec.trace) {
    progress.stage("attaching the collector");
    GB_ASSIGN(auto recorder, Recorder::start(stack.vm_name(), trace_path, watch));
    progress.stage("traced cycle");
    {
      const Background recorder_watched(watch, &recorder->child());
      GB_ASSIGN(result.cycle_ns, run.cycles(spec.cycles));
    }
    progress.stage("collecting the guest's events");
    GB_TRY(recorder->finish(watch));
    GB_TRY(untraced(spec.untraced - spec.untraced / 2));
    GB_TRY(add_description(trace_path, result));
  } else {
    progress.stage("cycle");
    GB_ASSIGN(result.cycle_ns, run.cycles(spec.cycles));
  }
  return result;
}

Result<CrrResult> run_crr(const CrrSpec& spec, const std::string& trace_path, Watch& watch) {
  Progress progress;
  GB_ASSIGN(Server server, Server::start(spec.server, spec.port));
  const Background server_watched(watch, server.child());
  const auto stack = make_stack(spec);
  if (!stack->vm_name().empty()) progress.stage("starting the guest");
  GB_TRY(stack->start(watch));
  GB_ASSIGN(CrrResult result, run_workload(spec, trace_path, *stack, server, watch, progress));
  if (!stack->vm_name().empty()) progress.stage("stopping the guest");
  GB_TRY(stack->stop());
  progress.clear();
  return result;
}

}  // namespace glassbox::bench
