#include "tools/bench/measure/crr.h"

#include <fmt/chrono.h>

#include <ctime>

#include "tools/bench/measure/client.h"
#include "tools/bench/measure/clock_steps.h"
#include "tools/bench/measure/trace_recording.h"
#include "tools/bench/process/background.h"
#include "tools/bench/process/progress.h"
#include "tools/bench/report/describe.h"
#include "tools/bench/stacks/server.h"
#include "tools/bench/stacks/stack.h"
#include "tools/trace/file/trace_writer.h"
#include "tools/trace/record/machine.h"
#include "vmm/base/lab.h"

namespace glassbox::bench {
namespace {

// Without a finished cycle for this long, a run is stuck. The slowest honest cycle is a poll of 60 s.
constexpr int kStallS = 120;

class CrrClient {
 public:
  CrrClient(const Spec& spec, Stack& stack, Server& server, Watch& watch, Progress& progress)
      : spec_(spec), stack_(stack), server_(server), watch_(watch), progress_(progress) {}

  // Runs the client for `cycles` cycles and returns their times.
  Result<std::vector<std::uint64_t>> cycles(std::uint32_t count) {
    const ServerAddress target{stack_.host(), server_.port()};
    auto argv = client_command(workload_, spec_, stack_.client_programs(), target, count);
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
    if (!status.ok()) return fail("{}", client->how_it_ended());
    const bool shell_here = spec_.forks() && !spec_.has_guest();
    if (shell_here) GB_TRY(steps.check());
    return parse_client(workload_, spec_, client->out(), count);
  }

 private:
  std::uint64_t served() const {
    return server_.served() == nullptr ? 0 : server_.served()->load(std::memory_order_relaxed);
  }
  const Spec& spec_;
  const Workload workload_ = round_workloads(spec_).front();
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

Result<CrrResult> run_workload(const Spec& spec, const std::string& trace_path, Stack& stack, Server& server,
                               Watch& watch, Progress& progress) {
  CrrResult result{spec, server.port(), {}, nullptr, {}};
  if (!spec.trace) result.machine = trace::machine_info(stack.pid());
  if (!spec.trace && in_lab()) result.machine["kind"] = "lab";  // also where the stack runs no VM
  CrrClient client(spec, stack, server, watch, progress);
  if (spec.warm_up > 0) {
    progress.stage("warm-up cycle");
    GB_TRY(client.cycles(spec.warm_up));
  }
  // A block of the untraced cycles around a trace.
  const auto untraced = [&](std::uint32_t count) -> Status {
    if (!spec.trace || count == 0) return {};
    progress.stage("untraced cycle");
    GB_ASSIGN(const auto times, client.cycles(count));
    result.untraced_ns.insert(result.untraced_ns.end(), times.begin(), times.end());
    return {};
  };
  GB_TRY(untraced(spec.untraced / 2));
  result.measured_at = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  if (spec.trace) {
    progress.stage("attaching the collector");
    GB_ASSIGN(auto recording, TraceRecording::start({"--name", stack.vm_name()}, trace_path, watch));
    progress.stage("traced cycle");
    {
      const Background recording_watched(watch, &recording->child());
      GB_ASSIGN(result.cycle_ns, client.cycles(spec.cycles));
    }
    progress.stage("collecting the guest's events");
    GB_TRY(recording->finish(watch));
    GB_TRY(untraced(spec.untraced - spec.untraced / 2));
    GB_TRY(add_description(trace_path, result));
  } else {
    progress.stage("cycle");
    GB_ASSIGN(result.cycle_ns, client.cycles(spec.cycles));
  }
  return result;
}

std::unique_ptr<Stack> make_crr_stack(const Spec& spec) {
  if (!spec.has_guest()) return make_loopback_stack(spec.server.ipv6);
  return make_glassbox_stack(
      {fmt::format("bench-{}", ::getpid()), spec.vcpus, spec.memory_mib, {}, spec.server.ipv6});
}

Result<CrrResult> run_crr(const Spec& spec, const std::string& trace_path, Watch& watch) {
  Progress progress;
  GB_ASSIGN(Server server, Server::start(spec.server, spec.port));
  const Background server_watched(watch, server.child());
  const auto stack = make_crr_stack(spec);
  if (!stack->vm_name().empty()) progress.stage("starting the guest");
  GB_TRY(stack->start(watch));
  GB_ASSIGN(CrrResult result, run_workload(spec, trace_path, *stack, server, watch, progress));
  if (!stack->vm_name().empty()) progress.stage("stopping the guest");
  GB_TRY(stack->stop());
  progress.clear();
  return result;
}

}  // namespace glassbox::bench
