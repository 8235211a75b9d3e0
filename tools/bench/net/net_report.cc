#include "tools/bench/net/net_report.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "tools/trace/machine.h"

namespace glassbox::bench {
namespace {

using nlohmann::json;

double us(const std::optional<std::uint64_t>& ns) {
  return ns ? static_cast<double>(*ns) / 1000 : 0;
}

json latency_json(const std::optional<Latency>& latency) {
  if (!latency) return nullptr;
  const auto optional_us = [](const std::optional<std::uint64_t>& ns) { return ns ? json(us(ns)) : json(); };
  return {{"n", latency->times.n},
          {"p50_us", optional_us(latency->times.p50_ns)},
          {"p99_us", optional_us(latency->times.p99_ns)},
          {"cpu_us", latency->cpu_ns / 1000}};
}

std::string latency_text(const std::optional<Latency>& latency) {
  if (!latency) return fmt::format("{:>8} {:>8} {:>7}", "-", "-", "-");
  return fmt::format("{:>8.1f} {:>8} {:>7}", us(latency->times.p50_ns),
                     latency->times.p99_ns ? fmt::format("{:.1f}", us(latency->times.p99_ns)) : "-",
                     latency->cpu_ns > 0 ? fmt::format("{:.1f}", latency->cpu_ns / 1000) : "-");
}

std::string ratio_text(const std::optional<Latency>& latency, const std::optional<double>& to_us) {
  if (!latency || !to_us || !latency->times.p50_ns) return "-";
  return fmt::format("{:.2f}", us(latency->times.p50_ns) / *to_us);
}

std::string stream_text(const NetRow& row, std::uint16_t mtu, bool out) {
  for (const Throughput& one : row.streams) {
    if (one.mtu != mtu || one.out != out) continue;
    return one.gbps.empty() ? "failed" : fmt::format("{:.2f}", median(one.gbps));
  }
  return "-";
}

std::vector<std::uint16_t> mtus_of(const std::vector<NetRow>& rows) {
  std::vector<std::uint16_t> mtus;
  for (const NetRow& row : rows) {
    for (const Throughput& one : row.streams) {
      if (std::find(mtus.begin(), mtus.end(), one.mtu) == mtus.end()) mtus.push_back(one.mtu);
    }
  }
  return mtus;
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) / 2];
}

json describe_machine() {
  json machine = trace::machine_info(::getpid());
  std::array<double, 3> load{};
  if (::getloadavg(load.data(), 3) == 3) machine["load_average"] = load;
  machine["processors"] = ::sysconf(_SC_NPROCESSORS_ONLN);
  machine["date"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  return machine;
}

std::optional<double> better_peer_us(const std::vector<NetRow>& rows, bool crr) {
  std::optional<double> best;
  for (const NetRow& row : rows) {
    if (row.stack != "pasta" && row.stack != "slirp4netns") continue;
    const auto& latency = crr ? row.crr : row.rr;
    if (!latency || !latency->times.p50_ns) continue;
    const double p50 = us(latency->times.p50_ns);
    best = best ? std::min(*best, p50) : p50;
  }
  return best;
}

json net_json(const NetSpec& spec, const json& machine, const std::vector<NetRow>& rows) {
  json out = {{"machine", machine},
              {"spec",
               {{"rounds", spec.rounds},
                {"cycles", spec.cycles},
                {"stream_mib", spec.stream_mib},
                {"stream_rounds", spec.stream_rounds}}},
              {"stacks", json::array()}};
  for (const NetRow& row : rows) {
    json one = {{"stack", row.stack},
                {"program", row.program.substr(row.program.rfind('/') + 1)},
                {"version", row.version},
                {"refused", row.refused.empty() ? json() : json(row.refused)},
                {"crr", latency_json(row.crr)},
                {"rr", latency_json(row.rr)},
                {"system_calls_per_crr", row.calls_per_crr ? json(*row.calls_per_crr) : json()},
                {"system_calls", row.calls},
                {"streams", json::array()}};
    if (!row.calls_missing.empty()) one["system_calls_missing"] = row.calls_missing;
    for (const Throughput& stream : row.streams) {
      one["streams"].push_back({{"mtu", stream.mtu},
                                {"direction", stream.out ? "out" : "in"},
                                {"gbps_median", stream.gbps.empty() ? json() : json(median(stream.gbps))},
                                {"gbps", stream.gbps},
                                {"refused", stream.refused.empty() ? json() : json(stream.refused)}});
    }
    out["stacks"].push_back(std::move(one));
  }
  return out;
}

std::string net_table(const json& machine, const std::vector<NetRow>& rows) {
  const auto crr_peer = better_peer_us(rows, true);
  const auto rr_peer = better_peer_us(rows, false);
  std::string text =
      fmt::format("{}, kernel {}, {} processors, load {} before the run\n\n", machine.value("cpu", "?"),
                  machine.value("kernel", "?"), machine.value("processors", 0L),
                  machine.value("load_average", json()).dump());
  text += fmt::format("{:<15} {:>8} {:>8} {:>7} {:>6} | {:>8} {:>8} {:>7} {:>6} | {:>7} {:>6}\n", "",
                      "CRR p50", "p99", "cpu", "/peer", "RR p50", "p99", "cpu", "/peer", "calls", "n");
  for (const NetRow& row : rows) {
    if (!row.refused.empty()) {
      text += fmt::format("{:<15} no row: {}\n", row.stack, row.refused);
      continue;
    }
    text += fmt::format("{:<15} {} {:>6} | {} {:>6} | {:>7} {:>6}\n", row.stack, latency_text(row.crr),
                        ratio_text(row.crr, crr_peer), latency_text(row.rr), ratio_text(row.rr, rr_peer),
                        row.calls_per_crr ? fmt::format("{:.1f}", *row.calls_per_crr) : "-",
                        row.crr ? row.crr->times.n : 0);
  }
  text +=
      "Times in us. cpu: of the carrying process, an exchange. /peer: over the better of pasta and "
      "slirp4netns. calls: system calls of the carrying process a CRR.\n";
  if (const auto mtus = mtus_of(rows); !mtus.empty()) {
    text += fmt::format("\n{:<15}", "stream, Gbps");
    for (const std::uint16_t mtu : mtus)
      text += fmt::format(" {:>13} {:>13}", fmt::format("out MTU {}", mtu), fmt::format("in MTU {}", mtu));
    text += '\n';
    for (const NetRow& row : rows) {
      if (row.streams.empty()) continue;
      text += fmt::format("{:<15}", row.stack);
      for (const std::uint16_t mtu : mtus)
        text += fmt::format(" {:>13} {:>13}", stream_text(row, mtu, true), stream_text(row, mtu, false));
      text += '\n';
    }
  }
  text += "\nPackets carried by:\n";
  for (const NetRow& row : rows) {
    if (!row.refused.empty()) continue;
    text += row.program.empty()
                ? fmt::format("{:<15} the kernel\n", row.stack)
                : fmt::format("{:<15} {} {} (process {})\n", row.stack, row.program, row.version, row.pid);
    if (!row.calls_missing.empty()) text += fmt::format("{:<15} {}\n", "", row.calls_missing);
  }
  return text;
}

}  // namespace glassbox::bench
