#include "tools/bench/measure/compare_run.h"

#include <algorithm>
#include <functional>

#include "tools/bench/measure/client_run.h"
#include "tools/bench/measure/explain_native.h"
#include "tools/bench/measure/machine_description.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/report/estimate.h"
#include "tools/bench/report/missed_targets.h"
#include "tools/bench/stacks/make_stack.h"
#include "tools/bench/stacks/native_stack.h"
#include "vmm/base/clock.h"
#include "vmm/base/lab.h"

namespace glassbox::bench {
namespace {

constexpr std::uint32_t kCountPasses = 3;

class CompareRunner {
 public:
  CompareRunner(CompareResult& result, Watch& watch, Progress& progress)
      : result_(result),
        spec_(result.spec),
        watch_(watch),
        progress_(progress),
        estimate_(estimate(spec_, in_lab())) {}

  Status start() {
    GB_TRY(prepare_tun());
    GB_ASSIGN(loopback_servers_, Servers::start(kLoopback, spec_));
    GB_ASSIGN(veth_servers_, Servers::start(kVethHost, spec_));
    null_spec_ = spec_;
    null_spec_.workloads = {"crr"};
    null_spec_.payload = 1;
    null_spec_.rate = 0;
    GB_ASSIGN(null_servers_, Servers::start(kLoopback, null_spec_));
    harness_.entry = find_stack("loopback");
    harness_.label = "null test";
    harness_.stack = make_loopback_stack();
    harness_.servers = &*null_servers_;
    const auto names = labels(spec_.stacks);
    for (std::size_t i = 0; i < names.size(); ++i) {
      Row& row = result_.rows.emplace_back();
      row.label = names[i];
      row.entry = find_stack(spec_.stacks[i]);
    }
    for (Row& row : result_.rows) {
      if (watch_.signal() != 0) break;
      progress_.stage("starting " + row.label);
      const Status status = start_row(row);
      if (status || watch_.signal() != 0) continue;
      row.refused = with_log(row.stack.get(), status.error().message);
      row.stack.reset();
    }
    return {};
  }

  void rounds() {
    const auto workloads = round_workloads(spec_);
    if (workloads.empty()) return;
    const std::uint64_t start_ns = monotonic_ns();
    for (std::uint32_t round = 0; round < spec_.rounds; ++round) {
      const double took_s = static_cast<double>(monotonic_ns() - start_ns - lost_ns_) / 1e9;
      progress_.stage(fmt::format("round {} of {}, {} left", round + 1, spec_.rounds,
                                  about(left_s(estimate_, spec_, round, took_s))));
      null_round(round);
      for (const Workload& workload : workloads) {
        for (std::size_t i = 0; i < result_.rows.size() && watch_.signal() == 0; ++i) {
          Row& row = result_.rows[(i + round) % result_.rows.size()];
          if (!takes_part(row, workload)) continue;
          progress_.detail(fmt::format("{} on {}", workload.name, row.label));
          attempt(row, workload, fmt::format("round {}", round + 1), &Cell::failed,
                  [&] { return turn(row, workload); });
        }
      }
      if (watch_.signal() != 0) return;
      result_.rounds_done = round + 1;
    }
  }

  // After the rounds, since what counts also costs.
  void counts() {
    if (!spec_.counts) return;
    progress_.stage("counting system calls, wake-ups and exits");
    for (Row& row : result_.rows) {
      if (!row.refused.empty() || row.stack->pids().empty()) continue;
      std::unique_ptr<KernelCounter> counter;
      std::vector<pid_t> counted;
      for (const Workload& workload : round_workloads(spec_)) {
        if (watch_.signal() != 0) return;
        if (!takes_part(row, workload) || keeps_flows_open(workload.kind)) continue;
        progress_.detail(fmt::format("{} on {}", workload.name, row.label));
        attempt(row, workload, "the count", &Cell::uncounted, [&]() -> Status {
          if (auto pids = row.stack->pids(); pids != counted) {  // the first time, and after a new start
            auto started = KernelCounter::start(pids);
            if (!started) {
              result_.counts_missing = started.error().message;
              return {};
            }
            counter = std::move(*started);
            counted = std::move(pids);
          }
          return count(row, workload, *counter);
        });
        if (!result_.counts_missing.empty()) return;
      }
    }
  }

  // Where the time of the native stacks goes that miss a target. After the counts, on the running stacks.
  void explanations() {
    if (!spec_.trace_missed) return;
    for (const Target& target : targets_of(result_)) {
      Row* row = find_row(result_, target.row);
      if (!is_explained(target, spec_) || row == nullptr || row->entry->group != Group::kNative ||
          !row->refused.empty() || watch_.signal() != 0)
        continue;
      for (const Workload& workload : round_workloads(spec_)) {
        const auto cell = row->cells.find(workload.name);
        if (workload.name != target.workload || cell == row->cells.end() || cell->second.explanation)
          continue;
        const auto cycle_ns = summarize(pooled(cell->second.rounds)).p50_ns;
        if (!cycle_ns) continue;
        progress_.stage(fmt::format("explaining {} on {}", workload.name, row->label));
        cell->second.explanation = explain_native(*row, workload, spec_, *cycle_ns, watch_);
      }
    }
  }

  void stop() {
    for (Row& row : result_.rows) {
      row.own_servers.reset();
      if (row.stack) (void)row.stack->stop();
      row.stack.reset();
    }
  }

  GuestReadyPort* ready_port() { return ready_port_ ? &*ready_port_ : nullptr; }

 private:
  static bool takes_part(Row& row, const Workload& workload) {
    return row.refused.empty() && carries(*row.entry, workload.kind) &&
           row.cells[workload.name].failed.empty();
  }

  // Takes the turn. If it fails, and did not fail under this workload before, restarts the stack and takes
  // the turn once more. A second failure is written to `outcome`: of a workload it does not stop the others,
  // of a count it does not discard the times.
  void attempt(Row& row, const Workload& workload, const std::string& when, std::string Cell::*outcome,
               const std::function<Status()>& take_turn) {
    for (bool last = false; !last;) {
      const std::uint64_t start_ns = monotonic_ns();
      const Status status = take_turn();
      if (status || watch_.signal() != 0) return;
      const std::string why = with_log(row.stack.get(), status.error().message);
      last = std::any_of(row.restarts.begin(), row.restarts.end(),
                         [&](const Restart& restart) { return restart.workload == workload.name; });
      if (last) row.cells[workload.name].*outcome = why;
      progress_.note(fmt::format("{}: {}, {}: {}", row.label, workload.name, when, why));
      row.restarts.push_back({workload.name, when, why});
      const Status started = restart(row);
      lost_ns_ += monotonic_ns() - start_ns;
      if (watch_.signal() != 0) return;
      if (started) continue;
      row.cells[workload.name].*outcome = why;
      row.refused = "could not be restarted: " + with_log(row.stack.get(), started.error().message);
      row.stack.reset();
      return;
    }
  }

  Status restart(Row& row) {
    progress_.note("restarting " + row.label);  // the round goes on where it was
    row.own_servers.reset();
    if (row.stack) (void)row.stack->stop();
    row.stack.reset();
    return start_row(row);
  }

  Status start_row(Row& row) {
    GB_TRY(check_installed(*row.entry));
    const bool qemu = row.entry->name.starts_with("qemu");
    if (qemu && !ready_port_) {
      GB_ASSIGN(ready_port_, GuestReadyPort::open());
    }
    Status status;
    const auto machines =
        qemu ? qemu_machines(spec_.qemu_machine, row.machine) : std::vector<std::string>{""};
    for (const std::string& machine : machines) {
      if (!status) progress_.stage(fmt::format("{} instead ({})", machine, status.error().message));
      GB_ASSIGN(row.stack, make_stack(*row.entry, spec_, machine, ready_port()));
      status = row.stack->start(watch_);
      if (status) row.machine = machine;
      if (status || watch_.signal() != 0) break;
    }
    GB_TRY(status);
    if (row.entry->name == "guest-loopback") {
      GB_ASSIGN(row.own_servers, Servers::start_in(*row.stack, spec_, watch_));
      row.identity = {
          row.stack->pid(), {}, {}, fmt::format("the guest's kernel (process {})", row.stack->pid())};
      return {};
    }
    const bool veth = row.entry->name == "veth";
    row.servers = veth ? &*veth_servers_ : &*loopback_servers_;
    GB_ASSIGN(row.identity, identify(*row.entry, *row.stack, veth ? kVethHost : kLoopback, watch_));
    return {};
  }

  Result<std::vector<std::uint64_t>> run(Row& row, const Workload& workload, const Spec& spec,
                                         std::uint32_t cycles) {
    auto times = run_client(row, workload, spec, cycles, watch_);
    // The server serves one connection at a time: one that the stack does not end would hold it for all
    // stacks.
    if (!times && !row.own_servers && (times.error().code == ETIMEDOUT || !row.servers->alive())) {
      GB_TRY(renew(row.servers));
    }
    return times;
  }

  Status renew(const Servers* servers) {
    if (servers == &*veth_servers_) {
      GB_ASSIGN(veth_servers_, Servers::start(kVethHost, spec_));
    } else if (servers == &*null_servers_) {
      GB_ASSIGN(null_servers_, Servers::start(kLoopback, null_spec_));
    } else {
      GB_ASSIGN(loopback_servers_, Servers::start(kLoopback, spec_));
    }
    return {};
  }

  // Without the samples of the warm-up; connect-rate has one sample for the whole run.
  Result<std::vector<std::uint64_t>> run_warm(Row& row, const Workload& workload, const Spec& spec) {
    const std::uint32_t warm = warm_up_of(workload, spec);
    GB_ASSIGN(auto times, run(row, workload, spec, warm + cycles_of(workload, spec)));
    if (workload.kind != WorkloadKind::kConnectRate) times.erase(times.begin(), times.begin() + warm);
    return times;
  }

  Status turn(Row& row, const Workload& workload) {
    GB_TRY(check_alive(*row.stack));
    // A relay starts a process for a port it has not seen.
    GB_TRY(address_of(row, row.reached_servers().port(service_of(workload.kind))));
    const auto pids = row.stack->pids();
    Cell& cell = row.cells[workload.name];
    std::unique_ptr<Child> open_flows;
    Quiet quiet;
    if (keeps_flows_open(workload.kind)) {
      GB_ASSIGN(open_flows, open_other_flows(row, workload));
      GB_ASSIGN(quiet, watch_quiet_process(row.stack->pid(), watch_));
    }
    GB_ASSIGN(const ProcessCounts start, read_process_counts(pids));
    GB_TRY(run(row, workload, spec_, warm_up_of(workload, spec_)));
    GB_ASSIGN(const ProcessCounts middle, read_process_counts(pids));
    GB_ASSIGN(auto times, run_warm(row, workload, spec_));
    GB_ASSIGN(const ProcessCounts end, read_process_counts(pids));
    if (!pids.empty()) GB_TRY(check_ran(row.identity.text, middle, end));
    if (open_flows) cell.quiet.push_back(quiet);
    cell.rounds.push_back(std::move(times));
    cell.process += (end - middle) - (middle - start);
    cell.process_cycles += cycles_of(workload, spec_);
    return {};
  }

  // The client that keeps them open, which has opened them by now.
  Result<std::unique_ptr<Child>> open_other_flows(Row& row, const Workload& workload) {
    constexpr int kOpenLimitS = 60;
    GB_ASSIGN(const ServerAddress server, address_of(row, row.reached_servers().open_flows_port()));
    const std::uint32_t count = workload.kind == WorkloadKind::kIdleFlows ? spec_.idle_flows : 0;
    GB_ASSIGN(auto client, row.stack->run_client({program("glassbox-bench"), "open-flows", server.host,
                                                  std::to_string(server.port), std::to_string(count)}));
    GB_TRY(watch_.wait_output(*client, kOpenLimitS));
    // Its first words are an error, unless they are on stdout.
    if (client->out().empty()) return fail("open flows: {}", last_line(client->err()));
    return client;
  }

  Status count(Row& row, const Workload& workload, const KernelCounter& counter) {
    KernelCounts sum;
    for (std::uint32_t pass = 0; pass < kCountPasses; ++pass) {
      const KernelCounts start = counter.read();
      GB_TRY(run(row, workload, spec_, warm_up_of(workload, spec_)));
      const KernelCounts middle = counter.read();
      GB_TRY(run_warm(row, workload, spec_));
      sum += (counter.read() - middle) - (middle - start);
    }
    sum /= static_cast<double>(kCountPasses) * cycles_of(workload, spec_);
    row.cells[workload.name].kernel = sum;
    return {};
  }

  void null_round(std::uint32_t round) {
    const Workload crr{WorkloadKind::kCrr, 1, "crr"};
    const auto plain = [&]() -> Status {
      // In pieces, and signals are handled between two of them.
      constexpr std::uint32_t kPiece = 1000;
      std::vector<std::uint64_t> times;
      for (std::uint32_t left = spec_.warm_up + spec_.cycles; left > 0 && watch_.signal() == 0;) {
        const std::uint32_t count = std::min(left, kPiece);
        GB_ASSIGN(const auto piece, run_plain_loop(null_servers_->port(Service::kEcho), count));
        times.insert(times.end(), piece.begin(), piece.end());
        left -= count;
      }
      if (watch_.signal() != 0) return fail("interrupted");
      times.erase(times.begin(), times.begin() + spec_.warm_up);
      result_.null_test.plain.push_back(std::move(times));
      return {};
    };
    const auto harness = [&]() -> Status {
      GB_TRY(run(harness_, crr, null_spec_, warm_up_of(crr, null_spec_)));
      GB_ASSIGN(auto times, run_warm(harness_, crr, null_spec_));
      result_.null_test.harness.push_back(std::move(times));
      return {};
    };
    if (!result_.null_test.failed.empty()) return;
    Status status = round % 2 == 0 ? plain() : harness();
    if (status) status = round % 2 == 0 ? harness() : plain();
    if (!status && watch_.signal() == 0) result_.null_test.failed = status.error().message;
  }

  CompareResult& result_;
  const Spec& spec_;
  Watch& watch_;
  Progress& progress_;
  Estimate estimate_;
  std::uint64_t lost_ns_ = 0;  // to turns that failed: the estimate leaves it out
  std::optional<GuestReadyPort> ready_port_;
  Spec null_spec_;  // one byte and a closed loop, as in the plain loop
  std::optional<Servers> loopback_servers_, veth_servers_, null_servers_;
  Row harness_;
};

}  // namespace

Result<CompareResult> run_compare(const Spec& spec, Watch& watch) {
  CompareResult result;
  result.spec = spec;
  result.machine = describe_machine();
  if (in_lab()) result.machine["kind"] = "lab";
  Progress progress;
  if (!in_lab()) progress.note(announce(spec, false));  // in the lab: it was printed before the lab started
  CompareRunner runner(result, watch, progress);
  GB_TRY(runner.start());
  runner.rounds();
  if (watch.signal() == 0) runner.counts();
  if (watch.signal() == 0) runner.explanations();
  progress.stage("stopping");
  runner.stop();
  if (wants(spec, "boot") && watch.signal() == 0) measure_boots(result, runner.ready_port(), watch, progress);
  if (spec.trace_missed && watch.signal() == 0) trace_missed_targets(result, watch, progress);
  result.interrupted = watch.signal() != 0;
  result.machine["load_average_after"] = describe_machine()["load_average"];
  progress.clear();
  return result;
}

}  // namespace glassbox::bench
