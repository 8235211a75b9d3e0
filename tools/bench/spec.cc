#include "tools/bench/spec.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "net/address_text.h"
#include "tools/bench/stacks/echo.h"
#include "tools/bench/stacks/stack_list.h"
#include "tools/bench/workload.h"

namespace glassbox::bench {
namespace {

constexpr std::uint32_t kMaxPollMs = 60'000;
constexpr std::uint32_t kMaxWarmUp = 1000;
constexpr std::uint32_t kMaxIdleFlows = 15'000;  // a client has 28,232 local ports
constexpr net::IpAddress kLoopback4 = net::IpAddress::from_v4(net::ipv4(127, 0, 0, 1));

std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t low, std::uint32_t high) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    return std::nullopt;
  return value;
}

Status in_range(const char* option, std::uint64_t value, std::uint64_t low, std::uint64_t high) {
  if (value >= low && value <= high) return {};
  return fail("{} {}: it must be between {} and {}", option, value, low, high);
}

Status check_flows(const Spec& spec) {
  if (!wants(spec, "connect-rate")) return {};
  for (const std::uint32_t flows : spec.flows) {
    GB_TRY(in_range("--flows", flows, 1, std::min(64U, spec.cycles)));
    if (std::count(spec.flows.begin(), spec.flows.end(), flows) > 1)
      return fail("--flows {}: named twice", flows);
  }
  return {};
}

}  // namespace

Result<ServerSpec> parse_server(std::string_view text) {
  constexpr std::string_view kPoll = "poll:";
  constexpr std::string_view kExternal = "external:";
  if (text == "blocking") return ServerSpec{};
  if (text.starts_with(kPoll)) {
    if (auto ms = parse_number(text.substr(kPoll.size()), 1, kMaxPollMs))
      return ServerSpec{ServerKind::kPoll, *ms, 0};
    return fail("--server {}: the sleep must be 1 to {} ms, as in poll:40", text, kMaxPollMs);
  }
  if (text.starts_with(kExternal)) {
    const std::string_view where = text.substr(kExternal.size());
    if (auto port = parse_number(where, 1, 65'535)) {
      return ServerSpec{ServerKind::kExternal, 0, static_cast<std::uint16_t>(*port)};
    }
    const auto endpoint = net::endpoint_from_text(where);
    const bool ipv6 = endpoint && endpoint->address == net::kLoopback6;
    if (endpoint && endpoint->port != 0 && (ipv6 || endpoint->address == kLoopback4)) {
      return ServerSpec{ServerKind::kExternal, 0, endpoint->port, ipv6};
    }
    return fail(
        "--server {}: it must be a port, 1 to 65535, on 127.0.0.1 or [::1], as in external:7 or "
        "external:[::1]:7",
        text);
  }
  return fail("--server {}: it must be one of blocking, poll:MS, external:[ADDRESS:]PORT", text);
}

Spec crr_defaults() {
  Spec spec;
  spec.stacks = {"glassbox"};
  spec.workloads = {"crr-fork"};
  spec.cycles = 200;
  return spec;
}

Result<std::string> parse_crr_workload(std::string_view text) {
  if (text == "fork") return std::string("crr-fork");
  if (text == "single") return std::string("crr");
  return fail("--workload {}: it must be fork or single", text);
}

Result<std::string> parse_crr_stack(std::string_view text) {
  if (text == "glassbox" || text == "loopback") return std::string(text);
  return fail("--stack {}: it must be glassbox or loopback", text);
}

Status check_crr(const Spec& spec) {
  GB_TRY(in_range("--cycles", spec.cycles, 1, kMaxCycles));
  GB_TRY(in_range("--untraced", spec.untraced, 0, kMaxCycles));
  GB_TRY(in_range("--warm-up", spec.warm_up, 0, kMaxWarmUp));
  if (spec.trace && !spec.has_guest()) {
    return fail("--trace needs --stack glassbox: {} passes no probe of glassbox", spec.stack());
  }
  if (!spec.keep_trace.empty() && !spec.trace) return fail("--keep-trace needs --trace");
  if (spec.keep_trace == "-") return fail("--keep-trace -: a trace goes to a file");
  if (spec.port != 0 && spec.server.kind == ServerKind::kExternal) {
    return fail("--port is for the server that glassbox-bench starts; {} names its port already",
                name(spec.server));
  }
  return {};
}

Status check_compare(const Spec& spec) {
  if (spec.stacks.empty() || spec.workloads.empty())
    return fail("nothing to compare: name --stacks and --workloads");
  for (const std::string& name : spec.stacks) {
    if (find_stack(name) == nullptr) return fail("--stacks {}: see --help for the names", name);
  }
  GB_TRY(in_range("--rounds", spec.rounds, 1, 1000));
  GB_TRY(in_range("--cycles", spec.cycles, 1, kMaxCycles));
  GB_TRY(in_range("--fork-cycles", spec.fork_cycles, 1, kMaxCycles));
  GB_TRY(in_range("--warm-up", spec.warm_up, 1, kMaxWarmUp));
  GB_TRY(in_range("--boot-rounds", spec.boot_rounds, 1, 1000));
  GB_TRY(in_range("--payload", spec.payload, 1, kMaxRequestBytes));
  GB_TRY(in_range("--stream-mib", spec.stream_mib, 1, 1 << 20));
  GB_TRY(in_range("--idle-flows", spec.idle_flows, 1, kMaxIdleFlows));
  GB_TRY(in_range("--rate", spec.rate, 0, 1'000'000));
  GB_TRY(in_range("--mtu", spec.mtu, 576, 65520));
  GB_TRY(in_range("--stall", spec.stall_s, 1, 86'400));
  GB_TRY(in_range("--vcpus", spec.vcpus, 1, 64));
  GB_TRY(in_range("--memory", spec.memory_mib, 128, 1 << 20));
  GB_TRY(check_flows(spec));
  if (round_workloads(spec).empty() && std::none_of(spec.stacks.begin(), spec.stacks.end(), boots)) {
    return fail("boot is of glassbox and the QEMU stacks, and none is named");
  }
  if (spec.rate > 0 && !wants(spec, "crr") && !wants(spec, "rr")) return fail("--rate is for crr and rr");
  for (const Workload& workload : round_workloads(spec)) {
    const bool carried = std::any_of(spec.stacks.begin(), spec.stacks.end(), [&](const std::string& stack) {
      return carries(*find_stack(stack), workload.kind);
    });
    if (!carried) return fail("--workloads {}: none of the named stacks carries it", workload.name);
  }
  return {};
}

std::string_view crr_workload_name(const Spec& spec) {
  return spec.forks() ? "fork" : "single";
}

std::string name(const ServerSpec& server) {
  switch (server.kind) {
    case ServerKind::kBlocking:
      return "blocking";
    case ServerKind::kPoll:
      return fmt::format("poll:{}", server.poll_ms);
    case ServerKind::kExternal:
      return fmt::format("external:{}{}", server.ipv6 ? "[::1]:" : "", server.external_port);
  }
  return {};
}

std::string describe(const ServerSpec& server) {
  const std::string_view over = server.ipv6 ? ", over IPv6" : "";
  switch (server.kind) {
    case ServerKind::kBlocking:
      return fmt::format("blocking echo server on the host{}", over);
    case ServerKind::kPoll:
      return fmt::format("echo server on the host that polls accept() every {} ms{}", server.poll_ms, over);
    case ServerKind::kExternal:
      return fmt::format("a server of yours on host port {}{} (its own time is part of the figures)",
                         server.external_port, over);
  }
  return {};
}

}  // namespace glassbox::bench
