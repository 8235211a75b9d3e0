#include "tools/bench/net/explain.h"
#include "tools/bench/measure/kernel_counter.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

#include "tools/bench/net/servers.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/net_stack.h"

namespace glassbox::bench {
namespace {

using nlohmann::json;

constexpr std::uint32_t kWarmUp = 5000;  // adaptive polling has made up its mind by then
constexpr std::uint32_t kExchanges = 2000;
constexpr std::uint32_t kTraced = 1000;
constexpr int kRecorderLimitMs = 60'000;
constexpr const char* kInterface = "eth0";
constexpr std::size_t kSegments = 8;

struct Frames {
  double in = 0, out = 0, bytes_out = 0;  // as the namespace sees them
};

Frames frames_of(pid_t inside) {
  std::ifstream file(fmt::format("/proc/{}/net/dev", inside));
  for (std::string line; std::getline(file, line);) {
    std::replace(line.begin(), line.end(), ':', ' ');
    std::istringstream words(line);
    std::string name;
    std::array<double, 10> columns{};  // bytes, packets, six that are nothing to us, bytes, packets
    if (!(words >> name) || name != kInterface) continue;
    for (double& column : columns)
      words >> column;
    return {columns[1], columns[9], columns[8]};
  }
  return {};
}

// One subject on one stack.
class Subject {
 public:
  Subject(const NetSpec& spec, json what) : spec_(spec), what_(std::move(what)) {}

  json explain() {
    json out = json::object();
    if (const Status status = explain_into(out); !status) out["missing"] = status.error().message;
    return out;
  }

 private:
  Status explain_into(json& out) {
    const auto& kinds = net_stack_kinds();
    const auto kind = std::find_if(kinds.begin(), kinds.end(),
                                   [&](const NetStackKind& one) { return one.name == what_["stack"]; });
    if (kind == kinds.end()) return fail("no such stack");
    GB_ASSIGN(servers_, start_servers(kLoopback));
    GB_ASSIGN(stack_, NetStack::start(*kind, what_.value("mtu", std::uint16_t{1500})));
    if (what_.contains("idle_flows")) {
      Order hold = order(Exchange::kHold, what_["idle_flows"]);
      hold.port = servers_.hold_port;
      GB_TRY(stack_->agent().run(hold));
    }
    GB_TRY(run(kWarmUp));
    GB_TRY(shares(out));
    if (const Status counted = calls(out); !counted) out["calls_missing"] = counted.error().message;
    if (!is_crr()) return {};
    if (const Status traced = trace(out); !traced) out["trace_missing"] = traced.error().message;
    return {};
  }

  bool is_stream() const { return what_["exchange"] == "stream-out" || what_["exchange"] == "stream-in"; }
  bool is_crr() const { return what_["exchange"] == "crr"; }

  Order order(Exchange exchange, std::uint32_t count) const {
    const bool to_echo = exchange == Exchange::kCrr;
    return {.what = exchange,
            .address = stack_->server_address(),
            .port = to_echo ? servers_.crr_port : servers_.port,
            .flows = what_.value("flows", std::uint16_t{1}),
            .count = count,
            .bytes = spec_.stream_mib << 20,
            .ports = servers_.parallel};
  }

  // `count` exchanges, or one stream. Returns how many there were, in exchanges or MiB.
  Result<double> run(std::uint32_t count) {
    Exchange exchange = Exchange::kRr;
    if (is_crr()) exchange = what_.contains("flows") ? Exchange::kParallelCrr : Exchange::kCrr;
    if (is_stream()) {
      exchange = what_["exchange"] == "stream-out" ? Exchange::kStreamOut : Exchange::kStreamIn;
      count = 1;
    }
    GB_TRY(stack_->agent().run(order(exchange, count)));
    return is_stream() ? static_cast<double>(spec_.stream_mib) : count;
  }

  pid_t server_pid() const {
    const char* name = is_crr() ? "the echo server" : "the server of streams";
    for (const auto& process : servers_.processes) {
      if (process->what() == name) return process->pid();
    }
    return 0;
  }

  Status shares(json& out) {
    const std::array<std::pair<const char*, pid_t>, 3> all = {std::pair{"client", stack_->agent().pid()},
                                                              {"NAT", stack_->carrier()->pid},
                                                              {"server", server_pid()}};
    std::array<SchedTime, 3> before;
    for (std::size_t i = 0; i < all.size(); ++i) {
      GB_ASSIGN(before[i], sched_time(all[i].second));
    }
    const Frames frames_before = frames_of(stack_->agent().pid());
    const std::uint64_t start_ns = monotonic_ns();
    GB_ASSIGN(const double n, run(kExchanges));
    const auto wall_ns = static_cast<double>(monotonic_ns() - start_ns);
    out["n"] = n;
    out["unit"] = is_stream() ? "MiB" : "exchange";
    out["us_a_unit"] = wall_ns / 1000 / n;
    for (std::size_t i = 0; i < all.size(); ++i) {
      GB_ASSIGN(const SchedTime after, sched_time(all[i].second));
      const double running = static_cast<double>(after.running_ns - before[i].running_ns) / wall_ns;
      const double runnable = static_cast<double>(after.runnable_ns - before[i].runnable_ns) / wall_ns;
      out["who"].push_back({{"who", all[i].first},
                            {"running", running},
                            {"runnable", runnable},
                            {"blocked", std::max(0.0, 1 - running - runnable)}});
    }
    const Frames frames = frames_of(stack_->agent().pid());
    const double frames_out = frames.out - frames_before.out;
    out["frames_to_nat"] = frames_out / n;
    out["frames_from_nat"] = (frames.in - frames_before.in) / n;
    if (frames_out > 0) {
      out["bytes_a_frame_to_nat"] = (frames.bytes_out - frames_before.bytes_out) / frames_out;
    }
    return {};
  }

  Status calls(json& out) {
    GB_ASSIGN(const auto counter, KernelCounter::start({stack_->carrier()->pid}));
    const KernelCounts before = counter->read();
    GB_ASSIGN(const double n, run(kExchanges));
    for (const auto& [name, count] : (counter->read() - before).by_call) {
      if (count > 0) out["calls"][name] = count / n;
    }
    return {};
  }

  Status trace(json& out) {
    if (::geteuid() != 0) return fail("tracing needs root");
    GB_ASSIGN(const TempDir directory, TempDir::create());
    const std::string path = directory.file("trace");
    std::array<int, 2> fds{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) < 0)
      return fail_errno(errno, "socketpair");
    const UniqueFd ours(fds[0]);
    UniqueFd theirs(fds[1]);
    GB_ASSIGN(const auto recorder, Child::start({.what = "glassbox-trace record",
                                                 .argv = {program("glassbox-trace"), "record", "--pid",
                                                          std::to_string(stack_->carrier()->pid), "-o", path,
                                                          "--ready-fd", std::to_string(theirs.get())},
                                                 .inherit = {theirs.get()},
                                                 .stop_signal = SIGINT}));
    theirs.reset();
    pollfd ready{ours.get(), POLLIN, 0};
    char byte = 0;
    if (::poll(&ready, 1, kRecorderLimitMs) != 1 || ::read(ours.get(), &byte, 1) != 1) {
      recorder->stop(kRecorderLimitMs);
      return fail("{}", recorder->epitaph());
    }
    GB_TRY(run(kTraced));
    if (!recorder->stop(kRecorderLimitMs).ok()) return fail("{}", recorder->epitaph());
    GB_ASSIGN(const auto report,
              Child::start({.what = "glassbox-trace report",
                            .argv = {program("glassbox-trace"), "report", "--format", "json", path}}));
    if (!report->wait(kRecorderLimitMs)) return fail("glassbox-trace report does not end");
    if (const auto status = report->reap(); !status || !status->ok()) return fail("{}", report->epitaph());
    const json parsed = json::parse(report->out(), nullptr, false);
    if (parsed.is_discarded()) return fail("glassbox-trace report is not JSON");
    out["trace"] = summary_of_trace(parsed);
    return {};
  }

  const NetSpec& spec_;
  const json what_;
  NetServers servers_;
  std::unique_ptr<NetStack> stack_;
};

double share_of(const json& segment) {
  const json share = segment.value("share", json());
  return share.is_number() ? share.get<double>() : 0;
}

}  // namespace

json summary_of_trace(const json& report) {
  std::vector<json> segments;
  for (const json& segment : report.value("segments", json::array())) {
    if (share_of(segment) > 0) segments.push_back(segment);
  }
  std::stable_sort(segments.begin(), segments.end(),
                   [](const json& a, const json& b) { return share_of(a) > share_of(b); });
  if (segments.size() > kSegments) segments.resize(kSegments);
  json out = {
      {"p50_us", report.value(json::json_pointer("/total/p50_us"), json())},
      {"untraced_p50_us", report.value(json::json_pointer("/probe_tax/compared/untraced_p50_us"), json())},
      {"probes_share", report.value(json::json_pointer("/probe_tax/share"), json())},
      {"unattributed_share", report.value("unattributed_share", json())},
      {"segments", json::array()},
      {"confirmed", json::array()}};
  for (const json& segment : segments) {
    json one;
    for (const char* key : {"side", "label", "p50_us", "share", "states"})
      one[key] = segment.value(key, json());
    out["segments"].push_back(std::move(one));
  }
  for (const json& verdict : report.value("verdicts", json::array())) {
    if (verdict.value("outcome", "") != "confirmed") continue;
    out["confirmed"].push_back(
        {{"claim", verdict["claim"]}, {"evidence", verdict.value("evidence", json())}});
  }
  return out;
}

json explain_targets(const NetSpec& spec, const json& targets, bool all) {
  json out = json::array();
  for (const json& target : targets) {
    const bool wanted = target["verdict"] == "missed" || (all && target["verdict"] == "met");
    if (!wanted || !target.contains("subject")) continue;
    const json& subject = target["subject"];
    const auto known =
        std::find_if(out.begin(), out.end(), [&](const json& one) { return one["subject"] == subject; });
    if (known != out.end()) {
      (*known)["targets"].push_back(target["target"]);
      continue;
    }
    out.push_back({{"subject", subject},
                   {"targets", json::array({target["target"]})},
                   {"found", Subject(spec, subject).explain()}});
  }
  return out;
}

}  // namespace glassbox::bench
