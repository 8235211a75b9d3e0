#include "tools/bench/spec.h"

#include <charconv>

#include "net/address_text.h"

namespace glassbox::bench {
namespace {

constexpr std::uint32_t kMaxPollMs = 60'000;
constexpr net::IpAddress kLoopback4 = net::IpAddress::from_v4(net::ipv4(127, 0, 0, 1));

std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t low, std::uint32_t high) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    return std::nullopt;
  return value;
}

}  // namespace

Result<ServerSpec> parse_server(std::string_view text) {
  constexpr std::string_view kPoll = "poll:";
  constexpr std::string_view kExternal = "external:";
  if (text == "blocking") return ServerSpec{};
  if (text.starts_with(kPoll)) {
    if (auto ms = parse_number(text.substr(kPoll.size()), 1, kMaxPollMs))
      return ServerSpec{ServerKind::kPoll, *ms, 0};
    return fail("--server {}: the sleep is 1 to {} ms, as in poll:40", text, kMaxPollMs);
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
        "--server {}: it is a port, 1 to 65535, on 127.0.0.1 or [::1], as in external:7 or "
        "external:[::1]:7",
        text);
  }
  return fail("--server {}: it is one of blocking, poll:MS, external:[ADDRESS:]PORT", text);
}

Result<WorkloadKind> parse_workload(std::string_view text) {
  if (text == "fork") return WorkloadKind::kFork;
  if (text == "single") return WorkloadKind::kSingle;
  return fail("--workload {}: it is one of fork, single", text);
}

Result<StackKind> parse_stack(std::string_view text) {
  if (text == "glassbox") return StackKind::kGlassbox;
  if (text == "loopback") return StackKind::kLoopback;
  return fail("--stack {}: it is one of glassbox, loopback", text);
}

Status check(const CrrSpec& spec) {
  if (spec.cycles < 1 || spec.cycles > kMaxCycles) {
    return fail("--cycles {}: 1 to {}", spec.cycles, kMaxCycles);
  }
  if (spec.untraced > kMaxCycles) return fail("--untraced {}: 0 to {}", spec.untraced, kMaxCycles);
  if (spec.warm_up > 1000) return fail("--warm-up {}: 0 to 1000", spec.warm_up);
  if (spec.trace && spec.stack != StackKind::kGlassbox) {
    return fail("--trace needs the glassbox stack: {} passes no probe of ours", name(spec.stack));
  }
  if (!spec.keep_trace.empty() && !spec.trace) return fail("--keep-trace is of no use without --trace");
  if (spec.keep_trace == "-") return fail("--keep-trace -: a trace goes to a file");
  if (spec.port != 0 && spec.server.kind == ServerKind::kExternal) {
    return fail("--port is for our own server; {} names its port already", name(spec.server));
  }
  return {};
}

std::string_view name(WorkloadKind kind) {
  return kind == WorkloadKind::kFork ? "fork" : "single";
}
std::string_view name(StackKind kind) {
  return kind == StackKind::kGlassbox ? "glassbox" : "loopback";
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
