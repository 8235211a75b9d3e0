#include "tools/bench/measure/client.h"

#include <nlohmann/json.hpp>
#include <numeric>

#include "tools/bench/measure/fork_loop.h"

namespace glassbox::bench {
namespace {

// The JSON object of guest/crr: cycle_ns holds [start, duration] pairs.
Result<std::vector<std::uint64_t>> parse_gb_crr(std::string_view output, std::uint32_t cycles) {
  const auto json = nlohmann::json::parse(output, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("cycle_ns") || !json["cycle_ns"].is_array()) {
    return fail("gb-crr: cannot read \"{}\"", output.substr(0, 80));
  }
  std::vector<std::uint64_t> times;
  for (const auto& pair : json["cycle_ns"]) {
    if (!pair.is_array() || pair.size() != 2 || !pair[1].is_number_unsigned()) {
      return fail("gb-crr: cycle {} is \"{}\"", times.size() + 1, pair.dump());
    }
    times.push_back(pair[1].get<std::uint64_t>());
  }
  if (times.size() != cycles) return fail("gb-crr timed {} of {} cycles", times.size(), cycles);
  return times;
}

}  // namespace

std::vector<std::string> client_command(const Workload& workload, const Spec& spec,
                                        const ClientPrograms& programs, const ServerAddress& server,
                                        std::uint32_t cycles) {
  if (workload.kind == WorkloadKind::kCrrFork) {
    std::vector<std::string> argv = programs.shell;
    for (std::string& word : fork_loop_arguments(server.host, server.port, cycles, spec.payload))
      argv.push_back(std::move(word));
    return argv;
  }
  std::vector<std::string> argv{programs.gb_crr,        server.host, std::to_string(server.port), "--cycles",
                                std::to_string(cycles), "--payload", std::to_string(spec.payload)};
  const auto add = [&](const char* option, std::uint64_t value) {
    argv.insert(argv.end(), {option, std::to_string(value)});
  };
  const auto mode = [&](const char* name) { argv.insert(argv.end(), {"--mode", name}); };
  if (workload.kind == WorkloadKind::kRr) mode("rr");
  if (is_stream(workload.kind)) {
    mode(workload.kind == WorkloadKind::kStreamOut ? "stream-out" : "stream-in");
    add("--bytes", std::uint64_t{spec.stream_mib} << 20);
  }
  if (workload.kind == WorkloadKind::kConnectRate) add("--flows", workload.flows);
  if (spec.rate > 0 && (workload.kind == WorkloadKind::kCrr || workload.kind == WorkloadKind::kRr))
    add("--rate", spec.rate);
  return argv;
}

Result<std::vector<std::uint64_t>> parse_client(const Workload& workload, const Spec& spec,
                                                std::string_view output, std::uint32_t cycles) {
  if (workload.kind == WorkloadKind::kCrrFork) return parse_fork_loop(output, cycles, spec.payload);
  GB_ASSIGN(auto times, parse_gb_crr(output, cycles));
  if (workload.kind != WorkloadKind::kConnectRate) return times;
  const auto json = nlohmann::json::parse(output, nullptr, /*allow_exceptions=*/false);
  if (!json.contains("wall_ns") || !json["wall_ns"].is_number_unsigned()) {
    return fail("gb-crr: no time of the whole run");
  }
  return std::vector<std::uint64_t>{json["wall_ns"].get<std::uint64_t>() / cycles};
}

Status check_claims(const Workload& workload, const Spec& spec, const std::vector<std::uint64_t>& times,
                    std::uint32_t cycles, std::optional<std::uint64_t> served, std::uint64_t lifetime_ns) {
  if (served && *served < cycles) {  // more: the last one of the client before was counted late
    return fail("the client claims {} cycles and the server has served {}", cycles, *served);
  }
  if (spec.rate > 0) return {};  // timed from when a cycle was due: they overlap
  std::uint64_t claimed_ns = std::accumulate(times.begin(), times.end(), std::uint64_t{0});
  if (workload.kind == WorkloadKind::kConnectRate) claimed_ns *= cycles;  // the mean of all
  if (claimed_ns > lifetime_ns + lifetime_ns / 100) {  // two clocks, of which one may be a guest's
    return fail("the client's cycles took {} ms of the {} ms that it ran: its clock cannot be trusted",
                claimed_ns / 1'000'000, lifetime_ns / 1'000'000);
  }
  return {};
}

}  // namespace glassbox::bench
