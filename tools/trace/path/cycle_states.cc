#include "tools/trace/path/cycle_states.h"

#include <algorithm>

#include "bpf/event_args.h"

namespace glassbox::trace {
namespace {

void add(StateSplit& out, ThreadState state, std::int64_t ns) {
  out.at(static_cast<std::size_t>(state)) += ns;
}

}  // namespace

std::string_view name_of(Actor actor) {
  switch (actor) {
    case Actor::kNetwork:
      return "network";
    case Actor::kServer:
      return "server";
    case Actor::kClient:
      return "client";
    case Actor::kVcpu:
      return "vcpu";
    case Actor::kSeveral:
      return "several";
    case Actor::kNone:
      break;
  }
  return "";
}

// The actor makes the boundary at the end of the step happen.
Actor actor_of(const Step& step) {
  if (step.to == Slot::in_syn_ack_xmit) return Actor::kVcpu;  // the guest's kernel answers without a process
  switch (slot_kind(step.to)) {
    case GB_KIND_host_accept:
    case GB_KIND_host_server_read_enter:
    case GB_KIND_host_server_read:
    case GB_KIND_host_server_write_enter:
    case GB_KIND_host_server_write:
    case GB_KIND_host_server_shutdown:
      return Actor::kServer;
    case GB_KIND_guest_irq:
    case GB_KIND_guest_receive:
    case GB_KIND_guest_sock_state:
      return Actor::kVcpu;
    default:
      return is_guest_slot(step.to) ? Actor::kClient : Actor::kNetwork;
  }
}

Actor actor_of(Segment segment) {
  std::optional<Actor> found;
  for (const SegmentPair& p : segment_pairs()) {
    if (p.segment != segment) continue;
    const Actor actor = actor_of(Step{.from = p.from, .to = p.to});
    if (found && *found != actor) return Actor::kSeveral;
    found = actor;
  }
  return segment == Segment::guest_untraced || segment == Segment::inbound_untraced
             ? Actor::kNone
             : found.value_or(Actor::kNone);
}

CycleStates::CycleStates(const Trace& trace, const ClockReport& clock) : host_(trace) {
  if (clock.hull) guest_.emplace(trace, *clock.hull);
  std::unordered_map<std::uint64_t, std::uint32_t> answered;  // by exchange number: the vCPU's thread
  for (const gb_event& e : trace.host.events)
    if (e.kind == GB_KIND_clock_exchange) answered.emplace(args::clock_exchange(e).exchange, e.tid);
  for (const gb_event& e : trace.guest.events) {
    if (e.kind != GB_KIND_guest_clock) continue;
    const auto& exchange = args::guest_clock(e);
    const auto thread = answered.find(exchange.exchange);
    if (thread == answered.end()) continue;
    vcpus_.try_emplace(static_cast<std::uint16_t>(exchange.vcpu), Vcpu{thread->second, {}});
  }
  add_exits(trace);
}

void CycleStates::add_exits(const Trace& trace) {
  std::unordered_map<std::uint32_t, std::vector<Exit>> by_tid;
  for (const gb_event& e : trace.host.events) {
    if (e.kind != GB_KIND_host_vcpu_exit) continue;
    const std::uint64_t exit_ns = args::host_vcpu_exit(e).exit_ns;
    if (exit_ns > e.ts_ns) continue;
    by_tid[e.tid].push_back({static_cast<std::int64_t>(exit_ns), static_cast<std::int64_t>(e.ts_ns)});
  }
  for (auto& [cpu, vcpu] : vcpus_)
    if (const auto exits = by_tid.find(vcpu.tid); exits != by_tid.end()) vcpu.exits = exits->second;
}

bool CycleStates::knows(Actor actor) const {
  switch (actor) {
    case Actor::kNetwork:
    case Actor::kServer:
      return host_.known();
    case Actor::kClient:
      return guest_ && guest_->known();
    case Actor::kVcpu:
      return knows_vcpus();
    case Actor::kSeveral:
      return host_.known() || (guest_ && guest_->known());
    case Actor::kNone:
      break;
  }
  return false;
}

bool CycleStates::knows_vcpus() const {
  return std::any_of(vcpus_.begin(), vcpus_.end(),
                     [this](const auto& entry) { return host_.knows(entry.second.tid); });
}

const CycleStates::Vcpu* CycleStates::vcpu(std::uint16_t cpu) const {
  const auto found = vcpus_.find(cpu);
  return found == vcpus_.end() ? nullptr : &found->second;
}

// Splits time in which a vCPU's thread ran on the host into guest code and exits.
void CycleStates::split_vcpu(const Vcpu& vcpu, std::int64_t begin_ns, std::int64_t end_ns,
                             StateSplit& out) const {
  const auto running = [&](std::int64_t from, std::int64_t to) {
    std::int64_t in_exit = 0;
    auto it = std::upper_bound(vcpu.exits.begin(), vcpu.exits.end(), from,
                               [](std::int64_t t, const Exit& x) { return t < x.end_ns; });
    for (; it != vcpu.exits.end() && it->begin_ns < to; ++it)
      in_exit += std::min(to, it->end_ns) - std::max(from, it->begin_ns);
    in_exit = std::min(in_exit, to - from);
    add(out, ThreadState::kExit, in_exit);
    add(out, ThreadState::kRunning, to - from - in_exit);
  };
  for (const ThreadStates::Interval& on_host : host_.intervals(vcpu.tid, begin_ns, end_ns)) {
    if (on_host.state == ThreadState::kRunning)
      running(on_host.begin_ns, on_host.end_ns);
    else
      add(out, on_host.state == ThreadState::kRunnable ? ThreadState::kStolen : on_host.state,
          on_host.end_ns - on_host.begin_ns);
  }
}

void CycleStates::split_on_vcpu(const ThreadStates::Interval& task, const Vcpu* vcpu, StateSplit& out) const {
  const std::int64_t ns = task.end_ns - task.begin_ns;
  if (vcpu == nullptr || !host_.knows(vcpu->tid)) return add(out, task.state, ns);
  StateSplit below{};
  split_vcpu(*vcpu, task.begin_ns, task.end_ns, below);
  const std::int64_t stolen = below.at(static_cast<std::size_t>(ThreadState::kStolen));
  add(out, ThreadState::kStolen, stolen);
  if (task.state != ThreadState::kRunning) return add(out, task.state, ns - stolen);
  // A vCPU that sleeps in an exit (blocked) does not run its task either.
  const std::int64_t runs = below.at(static_cast<std::size_t>(ThreadState::kRunning)) +
                            below.at(static_cast<std::size_t>(ThreadState::kUnknown));
  add(out, ThreadState::kRunning, runs);
  add(out, ThreadState::kExit, ns - stolen - runs);
}

StateSplit CycleStates::split(const CycleResult& cycle, const Step& step) const {
  StateSplit out{};
  const std::int64_t ns = step.end_ns - step.begin_ns;
  switch (actor_of(step)) {
    case Actor::kNetwork:
      return host_.split(cycle.net_tid, step.begin_ns, step.end_ns);
    case Actor::kServer:
      // A server may accept in one thread or process and read in another.
      return host_.split(step.tid != 0 ? step.tid : cycle.server_tid, step.begin_ns, step.end_ns);
    case Actor::kVcpu:
      if (const Vcpu* on = vcpu(step.cpu))
        split_vcpu(*on, step.begin_ns, step.end_ns, out);
      else
        add(out, ThreadState::kUnknown, ns);
      return out;
    case Actor::kClient:
      break;
    default:
      add(out, ThreadState::kUnknown, ns);
      return out;
  }
  if (!guest_ || ns == 0) {
    add(out, ThreadState::kUnknown, ns);
    return out;
  }
  for (const ThreadStates::Interval& i : guest_->intervals(step.tid, step.begin_ns, step.end_ns))
    split_on_vcpu(i, vcpu(i.cpu == ThreadStates::kNoCpu ? step.cpu : i.cpu), out);
  return out;
}

StateSplit CycleStates::split(const CycleResult& cycle, Segment segment) const {
  StateSplit out{};
  for (const Step& step : cycle.path.steps) {
    if (step.segment != segment) continue;
    const StateSplit one = split(cycle, step);
    for (std::size_t k = 0; k < kThreadStates; ++k)
      out.at(k) += one.at(k);
  }
  return out;
}

}  // namespace glassbox::trace
