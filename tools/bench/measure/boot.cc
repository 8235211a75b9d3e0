#include <cstdlib>

#include "tools/bench/measure/boot_marks.h"
#include "tools/bench/measure/compare_run.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/make_stack.h"
#include "vmm/base/clock.h"

namespace glassbox::bench {
namespace {

constexpr int kCommandLimitS = 60;

// "[    1.234567] Run /init as init process" in nanoseconds.
std::optional<std::uint64_t> init_time(const std::string& kernel_log) {
  const std::size_t at = kernel_log.find("] Run /init as init process");
  const std::size_t begin = at == std::string::npos ? at : kernel_log.rfind('[', at);
  if (begin == std::string::npos) return std::nullopt;
  return static_cast<std::uint64_t>(std::strtod(kernel_log.c_str() + begin + 1, nullptr) * 1e9);
}

Status boot_of(Stack& stack, BootRow& row, const BootMarks* marks, Watch& watch) {
  const std::uint64_t start_ns = monotonic_ns();
  GB_TRY(stack.start(watch));
  row.ready.push_back({monotonic_ns() - start_ns});
  if (const auto counts = read_process_counts({stack.pid()}); counts && counts->exits) {
    row.exits.push_back(*counts->exits);
  }
  if (marks != nullptr) {
    for (const auto& [stage, ns] : marks->of(stack.pid())) {
      if (ns < start_ns) continue;  // of an earlier process with this number
      (stage == BootMarks::kFirstEntry ? row.first_entry : row.stages[stage]).push_back({ns - start_ns});
    }
  }
  GB_ASSIGN(const auto dmesg, stack.run_client({"dmesg"}));
  GB_TRY(watch.wait(*dmesg, kCommandLimitS));
  if (const auto init = init_time(dmesg->out())) row.kernel.push_back({*init});
  return stack.stop();
}

Status boot_once(const Row& booted, BootRow& row, const Spec& spec, GuestReadyPort* ready_port,
                 const BootMarks* marks, Watch& watch) {
  GB_ASSIGN(const auto stack, make_stack(*booted.entry, spec, row.machine, ready_port));
  const Status status = boot_of(*stack, row, marks, watch);
  if (status) return {};
  return fail("{}", with_log(stack.get(), status.error().message));
}

}  // namespace

void measure_boots(CompareResult& result, GuestReadyPort* ready_port, Watch& watch, Progress& progress) {
  std::vector<const Row*> rows;
  for (const Row& row : result.rows) {
    if (!boots(row.entry->name) || !row.refused.empty()) continue;
    rows.push_back(&row);
    result.boots.push_back({row.label, row.machine, {}, {}, {}, {}, {}, {}, {}});
  }
  if (rows.empty()) return;
  const auto marks = BootMarks::attach(program("glassbox"));
  if (!marks) result.marks_missing = marks.error().message;
  for (std::uint32_t round = 0; round < result.spec.boot_rounds; ++round) {
    progress.stage(fmt::format("boot round {} of {}", round + 1, result.spec.boot_rounds));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::size_t at = (i + round) % rows.size();
      BootRow& row = result.boots[at];
      if (!row.refused.empty()) continue;
      progress.detail("boot of " + row.label);
      // One boot of a stack may fail without ending its row, as one turn of a workload may.
      const auto boot = [&]() -> Status {
        BootRow with_this = row;
        GB_TRY(
            boot_once(*rows[at], with_this, result.spec, ready_port, marks ? marks->get() : nullptr, watch));
        row = std::move(with_this);
        return {};
      };
      Status status = boot();
      if (!status && watch.signal() == 0 && row.restarts.empty()) {
        row.restarts.push_back({"boot", fmt::format("round {}", round + 1), status.error().message});
        status = boot();
      }
      if (watch.signal() != 0) return;
      if (!status) row.refused = status.error().message;
    }
  }
}

}  // namespace glassbox::bench
