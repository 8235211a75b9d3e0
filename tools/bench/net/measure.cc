#include "tools/bench/net/measure.h"

#include <algorithm>
#include <array>
#include <memory>

#include "tools/bench/measure/kernel_counter.h"
#include "tools/bench/net/idle.h"
#include "tools/bench/net/servers.h"
#include "tools/bench/stacks/net_stack.h"

namespace glassbox::bench {
namespace {

constexpr std::uint16_t kLatencyMtu = 1500;
constexpr std::uint32_t kWarmUp = 20;
constexpr std::uint32_t kCounted = 500;  // CRR under the system call counter

class Session {
 public:
  Session(const NetSpec& spec, std::vector<NetRow>& rows) : spec_(spec), rows_(rows) {}

  Status start_servers_now() {
    GB_ASSIGN(loopback_, start_servers(kLoopback));
    GB_ASSIGN(veth_, start_servers(kVethHost));
    return {};
  }

  // All stacks that are wanted and can be had, with this MTU.
  void start_stacks(std::uint16_t mtu, bool streams_only) {
    stacks_.clear();
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      NetRow& row = rows_[i];
      const NetStackKind& kind = kind_of(row.stack);
      if (!row.refused.empty() || (streams_only && !kind.streams)) continue;
      auto stack = NetStack::start(kind, mtu);
      if (!stack) {
        if (!streams_only) row.refused = stack.error().message;
        continue;
      }
      row.version = (*stack)->version();
      if (const auto& carrier = (*stack)->carrier()) {
        row.program = carrier->program;
        row.pid = carrier->pid;
      }
      stacks_.push_back({&row, std::move(*stack)});
    }
  }

  void latencies() {
    std::vector<Samples> crr(stacks_.size());
    std::vector<Samples> rr(stacks_.size());
    rounds(spec_.rounds, [&](std::size_t i) {
      if (!stacks_[i].stack->kind().latencies) return;
      exchange(i, Exchange::kCrr, crr[i]);
      exchange(i, Exchange::kRr, rr[i]);
    });
    for (std::size_t i = 0; i < stacks_.size(); ++i) {
      stacks_[i].row->crr = summary_of(crr[i]);
      stacks_[i].row->rr = summary_of(rr[i]);
    }
  }

  void count_calls() {
    for (Running& at : stacks_) {
      if (!at.stack->carrier() || !at.row->refused.empty()) continue;
      const auto counter = KernelCounter::start({at.stack->carrier()->pid});
      if (!counter) {
        at.row->calls_missing = counter.error().message;
        continue;
      }
      const KernelCounts before = (*counter)->read();
      if (!run(at, Exchange::kCrr, kCounted)) continue;
      KernelCounts each = (*counter)->read() - before;
      each /= kCounted;
      at.row->calls = std::move(each.by_call);
      at.row->calls_per_crr = each.calls;
    }
  }

  void streams(std::uint16_t mtu) {
    std::vector<std::array<Throughput, 2>> found(stacks_.size());
    rounds(spec_.stream_rounds, [&](std::size_t i) {
      for (const bool out : {true, false}) {
        Throughput& one = found[i][out ? 0 : 1];
        one.mtu = mtu;
        one.out = out;
        if (!stacks_[i].stack->kind().streams || !one.refused.empty()) continue;
        const auto ns = run(stacks_[i], out ? Exchange::kStreamOut : Exchange::kStreamIn, 1);
        if (ns)
          one.gbps.push_back(static_cast<double>(spec_.stream_mib << 23) / static_cast<double>(ns->front()));
        if (!ns) one.refused = ns.error().message;
      }
    });
    for (std::size_t i = 0; i < stacks_.size(); ++i) {
      if (!stacks_[i].stack->kind().streams) continue;
      for (Throughput& one : found[i])
        stacks_[i].row->streams.push_back(std::move(one));
    }
  }

  void parallel() {
    for (const std::uint16_t flows : spec_.parallel_flows) {
      std::vector<Parallel> found(stacks_.size());
      rounds(spec_.parallel_rounds, [&](std::size_t i) {
        if (!stacks_[i].stack->kind().latencies || !found[i].refused.empty()) return;
        found[i].flows = flows;
        const auto ns = run(stacks_[i], Exchange::kParallelCrr, spec_.parallel_cycles, flows);
        if (ns) found[i].per_second.push_back(1e9 * spec_.parallel_cycles / static_cast<double>(ns->front()));
        if (!ns) found[i].refused = ns.error().message;
      });
      for (std::size_t i = 0; i < stacks_.size(); ++i) {
        if (found[i].flows != 0) stacks_[i].row->parallel.push_back(std::move(found[i]));
      }
    }
  }

  // Of the NATs; each alone, with two instances.
  void idle() {
    for (NetRow& row : rows_) {
      const NetStackKind& kind = kind_of(row.stack);
      if (row.refused.empty() && kind.streams && !kind.program.empty()) {
        row.idle = measure_idle(kind, loopback_, spec_);
      }
    }
  }

  void stop_stacks() { stacks_.clear(); }

 private:
  struct Running {
    NetRow* row;
    std::unique_ptr<NetStack> stack;
  };
  struct Samples {
    std::vector<std::uint64_t> ns;
    std::uint64_t cpu_ns = 0;
  };

  static const NetStackKind& kind_of(const std::string& name) {
    const auto& kinds = net_stack_kinds();
    return *std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.name == name; });
  }

  template <typename Step>
  void rounds(std::uint32_t count, Step step) {
    for (std::uint32_t round = 0; round < count; ++round) {
      for (std::size_t i = 0; i < stacks_.size(); ++i) {
        const std::size_t at = (i + round) % stacks_.size();
        if (stacks_[at].row->refused.empty()) step(at);
      }
    }
  }

  Result<std::vector<std::uint64_t>> run(Running& at, Exchange what, std::uint32_t count,
                                         std::uint16_t flows = 1) {
    const std::uint32_t address = at.stack->server_address();
    const NetServers& servers = address == kVethHost ? veth_ : loopback_;
    std::uint16_t port = what == Exchange::kCrr ? servers.crr_port : servers.port;
    if (at.row->stack == "relay") port = servers.relay_port;
    return at.stack->agent().run({.what = what,
                                  .address = address,
                                  .port = port,
                                  .flows = flows,
                                  .count = count,
                                  .bytes = spec_.stream_mib << 20,
                                  .ports = servers.parallel});
  }

  void exchange(std::size_t index, Exchange what, Samples& samples) {
    Running& at = stacks_[index];
    if (!at.row->refused.empty()) return;
    const auto attempt = [&]() -> Status {
      GB_TRY(run(at, what, kWarmUp));
      std::uint64_t before = 0;
      if (at.stack->carrier()) {
        GB_ASSIGN(before, cpu_ns(at.stack->carrier()->pid));
      }
      GB_ASSIGN(const auto times, run(at, what, spec_.cycles));
      if (at.stack->carrier()) {
        GB_ASSIGN(const std::uint64_t after, cpu_ns(at.stack->carrier()->pid));
        if (after == before) return fail("{} did not run while packets passed", at.row->program);
        samples.cpu_ns += after - before;
      }
      samples.ns.insert(samples.ns.end(), times.begin(), times.end());
      return {};
    };
    if (const Status status = attempt(); !status) at.row->refused = status.error().message;
  }

  std::optional<Latency> summary_of(const Samples& samples) const {
    if (samples.ns.empty()) return std::nullopt;
    return Latency{summarize(samples.ns),
                   static_cast<double>(samples.cpu_ns) / static_cast<double>(samples.ns.size())};
  }

  const NetSpec& spec_;
  std::vector<NetRow>& rows_;
  NetServers loopback_, veth_;
  std::vector<Running> stacks_;
};

}  // namespace

Result<std::vector<NetRow>> measure_net(const NetSpec& spec) {
  GB_TRY(prepare_tun());
  std::vector<NetRow> rows;
  for (const NetStackKind& kind : net_stack_kinds()) {
    if (spec.stacks.empty() ||
        std::find(spec.stacks.begin(), spec.stacks.end(), kind.name) != spec.stacks.end()) {
      rows.emplace_back().stack = kind.name;
    }
  }
  Session session(spec, rows);
  GB_TRY(session.start_servers_now());
  session.start_stacks(kLatencyMtu, false);
  if (spec.parts.latency) {
    session.latencies();
    session.count_calls();
  }
  if (spec.parts.parallel) session.parallel();
  if (spec.parts.streams) {
    for (const std::uint16_t mtu : spec.stream_mtus) {
      if (mtu != kLatencyMtu) session.start_stacks(mtu, true);
      session.streams(mtu);
    }
  }
  session.stop_stacks();
  if (spec.parts.idle) session.idle();
  return rows;
}

}  // namespace glassbox::bench
