#include "tools/trace/verdicts/wire.h"

#include <netinet/tcp.h>

#include <algorithm>

#include "bpf/event_args.h"
#include "tools/trace/path/flows.h"

namespace glassbox::trace {
namespace {

using Times = std::unordered_map<std::uint64_t, std::vector<std::int64_t>>;  // by socket, by time

// The first time at or after t.
std::optional<std::int64_t> first_after(const Times& times, std::uint64_t socket, std::int64_t t) {
  const auto list = times.find(socket);
  if (list == times.end()) return {};
  const auto it = std::lower_bound(list->second.begin(), list->second.end(), t);
  return it == list->second.end() ? std::nullopt : std::optional(*it);
}

// Appends those in [from_ns, to_ns].
void append_between(const Times& times, std::uint64_t socket, std::int64_t from_ns, std::int64_t to_ns,
                    std::vector<std::int64_t>& out) {
  const auto list = times.find(socket);
  if (list == times.end()) return;
  const auto first = std::lower_bound(list->second.begin(), list->second.end(), from_ns);
  out.insert(out.end(), first, std::upper_bound(first, list->second.end(), to_ns));
}

std::uint64_t server_socket(const HostFlow& f) {
  for (const EventRef e : {f.accept, f.read, f.write_enter, f.read_enter, f.server_close})
    if (e != nullptr) return skaddr_of(*e);
  return 0;
}

}  // namespace

Wire::Wire(const Trace& trace) {
  sees_resends_ = std::any_of(trace.host.hooks.begin(), trace.host.hooks.end(), [](const bpf::Hook& hook) {
    return hook.attached && hook.name == kResendHook;
  });
  Times established, resent;
  for (const gb_event& e : trace.host.events) {
    const auto at = static_cast<std::int64_t>(e.ts_ns);
    if (e.kind == GB_KIND_host_resend) {
      sees_resends_ = true;
      resent[args::host_resend(e).skaddr].push_back(at);
    } else if (e.kind == GB_KIND_host_sock_state && args::host_sock_state(e).new_state == TCP_ESTABLISHED) {
      established[args::host_sock_state(e).skaddr].push_back(at);
    }
  }
  const HostFlows flows(trace);
  for (const HostFlow& f : flows.flows()) {
    if (!f.over_wire) continue;
    Ends& ends = ends_[f.flow];
    const std::uint64_t server = server_socket(f);
    if (f.request_sent != nullptr) ends.request_ns = static_cast<std::int64_t>(f.request_sent->ts_ns);
    const auto here = first_after(established, f.nat_skaddr, f.first_ns);
    const auto there = here ? first_after(established, server, *here) : std::nullopt;
    if (there) ends.travel_ns = *there - *here;
    const std::int64_t last =
        std::max(f.last_ns, f.server_close ? static_cast<std::int64_t>(f.server_close->ts_ns) : 0);
    append_between(resent, f.nat_skaddr, f.first_ns, last, ends.resent);
    append_between(resent, server, f.first_ns, last, ends.resent);
    std::sort(ends.resent.begin(), ends.resent.end());
  }
}

std::optional<std::int64_t> Wire::travel_ns(std::uint64_t flow) const {
  const auto ends = ends_.find(flow);
  return ends == ends_.end() ? std::nullopt : ends->second.travel_ns;
}

std::optional<std::int64_t> Wire::resent(std::uint64_t flow, std::int64_t from_ns, std::int64_t to_ns) const {
  const auto ends = ends_.find(flow);
  if (ends == ends_.end()) return {};
  const auto& list = ends->second.resent;
  const auto later = std::upper_bound(list.begin(), list.end(), to_ns);
  return later != list.begin() && *(later - 1) > from_ns ? std::optional(*(later - 1)) : std::nullopt;
}

std::optional<std::int64_t> Wire::waits_from(std::uint64_t flow, const Step& step) const {
  const auto found = ends_.find(flow);
  if (found == ends_.end()) return step.begin_ns;
  const Ends& ends = found->second;
  if (!ends.travel_ns || !ends.request_ns) return {};
  const std::int64_t sent =
      std::max(*ends.request_ns, resent(flow, *ends.request_ns, step.end_ns).value_or(0));
  return std::clamp(sent + *ends.travel_ns, step.begin_ns, step.end_ns);
}

}  // namespace glassbox::trace
