#include "tools/bench/net/idle.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::uint16_t kMtu = 1500;
constexpr std::uint32_t kRounds = 10;
constexpr std::uint32_t kCycles = 100;  // CRR of an instance in a round
constexpr useconds_t kSettleUs = 1'000'000;
constexpr useconds_t kWatchUs = 5'000'000;

// The value of a "Key:  value" line of a file in /proc.
std::optional<std::uint64_t> status_value(const fs::path& file, const std::string& key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string found;
    std::uint64_t value = 0;
    if (words >> found >> value && found == key) return value;
  }
  return std::nullopt;
}

// How often the process' threads went to sleep of their own accord, which is how often they were woken.
Result<std::uint64_t> sleeps(pid_t pid) {
  std::uint64_t total = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    const auto value = status_value(entry.path() / "status", "voluntary_ctxt_switches:");
    if (!value) return fail("cannot read how often process {} slept", pid);
    total += *value;
  }
  return total;
}

struct Quiet {
  double cpu_percent = 0;
  double wakeups_per_s = 0;
};

Result<Quiet> watch(pid_t pid) {
  ::usleep(kSettleUs);
  GB_ASSIGN(const std::uint64_t cpu_before, cpu_ns(pid));
  GB_ASSIGN(const std::uint64_t sleeps_before, sleeps(pid));
  const std::uint64_t start_ns = monotonic_ns();
  ::usleep(kWatchUs);
  const auto ns = static_cast<double>(monotonic_ns() - start_ns);
  GB_ASSIGN(const std::uint64_t cpu_after, cpu_ns(pid));
  GB_ASSIGN(const std::uint64_t sleeps_after, sleeps(pid));
  return Quiet{100 * static_cast<double>(cpu_after - cpu_before) / ns,
               1e9 * static_cast<double>(sleeps_after - sleeps_before) / ns};
}

Status measure(const NetStackKind& kind, const NetServers& servers, const NetSpec& spec, IdleFlows& found) {
  GB_ASSIGN(const auto loaded, NetStack::start(kind, kMtu));
  GB_ASSIGN(const auto unloaded, NetStack::start(kind, kMtu));
  const pid_t pid = loaded->carrier()->pid;
  const Order crr{.what = Exchange::kCrr,
                  .address = loaded->server_address(),
                  .port = servers.crr_port,
                  .count = kCycles};
  Order held{.what = Exchange::kHold,
             .address = loaded->server_address(),
             .port = servers.hold_port,
             .count = spec.idle_flows};
  GB_TRY(loaded->agent().run(held));
  GB_ASSIGN(const Quiet quiet, watch(pid));
  found.cpu_percent = quiet.cpu_percent;
  found.resident_kib = status_value(fmt::format("/proc/{}/status", pid), "VmRSS:").value_or(0);
  std::vector<std::uint64_t> with;
  std::vector<std::uint64_t> without;
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    for (const bool first : {true, false}) {
      const bool is_loaded = first == (round % 2 == 0);
      GB_ASSIGN(const auto times, (is_loaded ? loaded : unloaded)->agent().run(crr));
      auto& all = is_loaded ? with : without;
      all.insert(all.end(), times.begin(), times.end());
    }
  }
  found.loaded = summarize(std::move(with));
  found.unloaded = summarize(std::move(without));
  held.what = Exchange::kLetGo;
  GB_TRY(loaded->agent().run(held));
  held.what = Exchange::kHalfClosed;
  GB_TRY(unloaded->agent().run(held));
  GB_ASSIGN(const Quiet half_closed, watch(unloaded->carrier()->pid));
  found.half_closed_wakeups_per_s = half_closed.wakeups_per_s;
  return {};
}

}  // namespace

IdleFlows measure_idle(const NetStackKind& kind, const NetServers& servers, const NetSpec& spec) {
  IdleFlows found;
  found.flows = spec.idle_flows;
  if (const Status status = measure(kind, servers, spec, found); !status) {
    found.refused = status.error().message;
  }
  return found;
}

}  // namespace glassbox::bench
