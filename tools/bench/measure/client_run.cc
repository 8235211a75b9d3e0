#include "tools/bench/measure/client_run.h"

#include <poll.h>

#include <list>

#include "tools/bench/measure/client.h"
#include "tools/bench/measure/clock_steps.h"
#include "tools/bench/measure/stall.h"
#include "tools/bench/process/background.h"
#include "vmm/base/clock.h"

namespace glassbox::bench {
namespace {

constexpr int kCauseMs = 500;  // for a killed stack to become reapable after its device has gone

constexpr std::uint32_t kCyclesPerS = 10;  // of the slowest stack, where nothing counts them
constexpr std::uint32_t kSecondsPerMib = 2;

// How long the pulse may stand still. A stream is one cycle; a server in a guest does not count at all.
int stall_limit_s(const Workload& workload, const Spec& spec, std::uint32_t cycles, bool counted) {
  std::uint64_t seconds = spec.stall_s;
  const bool stream = is_stream(workload.kind);
  if (stream) seconds += std::uint64_t{kSecondsPerMib} * spec.stream_mib * (counted ? 1 : cycles);
  if (!stream && !counted) seconds += cycles / kCyclesPerS + (spec.rate > 0 ? cycles / spec.rate : 0);
  return static_cast<int>(std::min<std::uint64_t>(seconds, 1U << 30));
}

// A server counts after its last write, when the client may be gone already.
std::uint64_t settled(const Servers& servers, Service service, std::uint64_t expected) {
  constexpr int kLimitMs = 1000;
  std::uint64_t served = servers.served(service).value_or(0);
  for (int waited_ms = 0; served < expected && waited_ms < kLimitMs; ++waited_ms) {
    ::poll(nullptr, 0, 1);
    served = servers.served(service).value_or(0);
  }
  return served;
}

Error stalled(Stack& stack, std::uint16_t port, int limit_s, std::optional<std::uint64_t> served,
              std::uint32_t cycles, Watch& watch) {
  std::string text = fmt::format("no cycle ended for {} s, given up", limit_s);
  if (served) text += fmt::format(" after {} of {}", *served, cycles);
  const std::string state = connection_state(stack, port, watch);
  if (!state.empty()) text += "; the client's connection is in " + state;
  return {std::move(text), ETIMEDOUT};
}

}  // namespace

Result<ServerAddress> address_of(Row& row, std::uint16_t server_port) {
  if (row.own_servers) return ServerAddress{"127.0.0.1", server_port};
  GB_ASSIGN(const std::uint16_t port, row.stack->port_for(server_port));
  return ServerAddress{row.stack->host(), port};
}

Result<std::unique_ptr<Child>> start_client(Row& row, const Workload& workload, const Spec& spec,
                                            std::uint32_t cycles) {
  GB_ASSIGN(const ServerAddress server,
            address_of(row, row.reached_servers().port(service_of(workload.kind))));
  return row.stack->run_client(client_command(workload, spec, row.stack->client_programs(), server, cycles));
}

Status check_alive(Stack& stack) {
  for (Child* child : stack.children()) {
    if (child->reap()) return fail("{}", child->how_it_ended());
  }
  return {};
}

Result<std::vector<std::uint64_t>> run_client(Row& row, const Workload& workload, const Spec& spec,
                                              std::uint32_t cycles, Watch& watch) {
  GB_TRY(check_alive(*row.stack));
  std::list<Background> needed;
  for (Child* child : row.stack->children())
    needed.emplace_back(watch, child);
  const Servers& servers = row.reached_servers();
  for (const auto& server : servers.processes())
    needed.emplace_back(watch, server.get());
  const Service service = service_of(workload.kind);
  GB_ASSIGN(const ServerAddress reached, address_of(row, servers.port(service)));
  const auto before = servers.served(service);
  const auto done = [&] { return servers.served(service).value_or(0) - before.value_or(0); };
  GB_ASSIGN(const ClockSteps steps, ClockSteps::watch());
  const std::uint64_t start_ns = monotonic_ns();
  GB_ASSIGN(auto client, start_client(row, workload, spec, cycles));
  const int limit_s = stall_limit_s(workload, spec, cycles, before.has_value());
  const auto status = watch.wait(*client, limit_s, done);
  if (!status && status.error().code == ETIMEDOUT) {
    const auto served = before ? std::optional(done()) : std::nullopt;
    return tl::unexpected<Error>(stalled(*row.stack, reached.port, limit_s, served, cycles, watch));
  }
  GB_TRY(status);
  if (!status->ok()) {
    // A stack that was killed takes its device along before it can be reaped: its end is the cause then.
    GB_TRY(watch.check_background(kCauseMs));
    return fail("{}", client->how_it_ended());
  }
  const std::uint64_t lifetime_ns = monotonic_ns() - start_ns;
  const bool shell_here = workload.kind == WorkloadKind::kCrrFork && row.entry->group == Group::kNative;
  if (shell_here) GB_TRY(steps.check());
  GB_ASSIGN(auto times, parse_client(workload, spec, client->out(), cycles));
  std::optional<std::uint64_t> served;
  if (before) served = settled(servers, service, *before + cycles) - *before;
  GB_TRY(check_claims(workload, spec, times, cycles, served, lifetime_ns));
  return times;
}

}  // namespace glassbox::bench
