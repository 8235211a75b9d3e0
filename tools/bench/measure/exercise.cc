#include "tools/bench/measure/exercise.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tools/bench/workload.h"

namespace glassbox::bench {

Service service_of(Load load) {
  switch (load) {
    case Load::kRr:
      return Service::kKeep;
    case Load::kStreamOut:
      return Service::kSink;
    case Load::kStreamIn:
      return Service::kSource;
    default:
      return Service::kEcho;
  }
}

std::uint32_t cycles_of(const Workload& workload, const CompareSpec& spec) {
  switch (workload.load) {
    case Load::kCrrFork:
      return spec.fork_cycles;
    case Load::kStreamOut:
    case Load::kStreamIn:
      return 1;
    default:
      return spec.cycles;
  }
}

std::uint32_t warm_up_of(const Workload& workload, const CompareSpec& spec) {
  const std::uint32_t most = std::min(spec.warm_up, cycles_of(workload, spec));
  return std::max(most, workload.flows);
}

std::vector<std::string> exercise_command(const Workload& workload, const CompareSpec& spec,
                                          const Stack& stack, const std::string& host, std::uint16_t port,
                                          std::uint32_t cycles) {
  if (workload.load == Load::kCrrFork) {
    return client_command(WorkloadKind::kFork, {host, port}, cycles, stack.shell(), {}, spec.payload);
  }
  std::vector<std::string> argv{stack.single_client(),  host,        std::to_string(port),        "--cycles",
                                std::to_string(cycles), "--payload", std::to_string(spec.payload)};
  const auto add = [&](const char* option, std::uint64_t value) {
    argv.insert(argv.end(), {option, std::to_string(value)});
  };
  const auto mode = [&](const char* name) { argv.insert(argv.end(), {"--mode", name}); };
  switch (workload.load) {
    case Load::kRr:
      mode("rr");
      break;
    case Load::kStreamOut:
    case Load::kStreamIn:
      mode(workload.load == Load::kStreamOut ? "stream-out" : "stream-in");
      add("--bytes", std::uint64_t{spec.stream_mib} << 20);
      break;
    case Load::kConnectRate:
      add("--flows", workload.flows);
      break;
    default:
      break;
  }
  if (spec.rate > 0 && (workload.load == Load::kCrr || workload.load == Load::kRr)) add("--rate", spec.rate);
  return argv;
}

Result<std::vector<std::uint64_t>> parse_exercise(const Workload& workload, const CompareSpec& spec,
                                                  std::string_view output, std::uint32_t cycles) {
  if (workload.load == Load::kCrrFork) {
    return parse_client(WorkloadKind::kFork, output, cycles, spec.payload);
  }
  GB_ASSIGN(auto times, parse_client(WorkloadKind::kSingle, output, cycles));
  if (workload.load != Load::kConnectRate) return times;
  const auto json = nlohmann::json::parse(output, nullptr, /*allow_exceptions=*/false);
  if (!json.contains("wall_ns") || !json["wall_ns"].is_number_unsigned()) {
    return fail("gb-crr: no time of the whole run");
  }
  return std::vector<std::uint64_t>{json["wall_ns"].get<std::uint64_t>() / cycles};
}

Status check_claims(const Workload& workload, const CompareSpec& spec,
                    const std::vector<std::uint64_t>& times, std::uint32_t cycles,
                    std::optional<std::uint64_t> served, std::uint64_t lifetime_ns) {
  if (served && *served < cycles) {  // more: the last one of the client before was counted late
    return fail("the client claims {} cycles and the server has served {}", cycles, *served);
  }
  if (spec.rate > 0) return {};  // timed from when a cycle was due: they overlap
  std::uint64_t claimed_ns = std::accumulate(times.begin(), times.end(), std::uint64_t{0});
  if (workload.load == Load::kConnectRate) claimed_ns *= cycles;  // the mean of all
  if (claimed_ns > lifetime_ns + lifetime_ns / 100) {             // two clocks, of which one may be a guest's
    return fail("the client's cycles took {} ms of the {} ms that it ran: its clock cannot be trusted",
                claimed_ns / 1'000'000, lifetime_ns / 1'000'000);
  }
  return {};
}

}  // namespace glassbox::bench
