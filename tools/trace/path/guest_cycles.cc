#include "tools/trace/path/guest_cycles.h"

#include <netinet/tcp.h>
#include <sched.h>

#include <algorithm>
#include <unordered_map>

#include "bpf/event_args.h"

namespace glassbox::trace {
namespace {

constexpr std::size_t kNone = SIZE_MAX;

struct Process {
  std::size_t pipeline = kNone;  // the pipeline that it is a child in
  EventRef clone{}, fork{}, exec_begin{}, exec_done{}, exit{};
  Moment reap;
  std::vector<std::size_t> connections;
};

struct Pipeline {
  std::vector<EventRef> forks;  // guest_clone_begin and guest_fork of the parent
  std::vector<std::size_t> children;
  std::size_t outstanding = 0, clones = 0, reaps = 0;
  Moment last_reap;
  bool complete = false;
  bool client_exited = false, client_reaped = false;  // a child that had a connection
};

class Finder {
 public:
  explicit Finder(const Trace& trace) : seen_(kinds_seen(trace)) {
    for (const gb_event& e : trace.guest.events)
      visit(&e);
  }

  GuestCycles result() {
    std::vector<bool> used(connections_.size(), false);
    for (const Pipeline& p : pipelines_)
      add_pipeline(p, used);
    for (std::size_t c = 0; c < connections_.size(); ++c)
      if (!used[c]) add_single(connections_[c]);
    return std::move(out_);
  }

 private:
  void visit(EventRef e) {
    switch (e->kind) {
      case GB_KIND_guest_clone_begin:
        return on_clone(e);
      case GB_KIND_guest_fork:
        return on_fork(e);
      case GB_KIND_guest_reap:
        return on_reap(e->tgid, static_cast<std::uint32_t>(args::guest_reap(*e).child_tgid), {e, e->ts_ns});
      case GB_KIND_guest_waited:
        return on_waited(e);
      case GB_KIND_guest_exit:
        return on_exit(e);
      case GB_KIND_guest_exec_begin: {
        Process& p = processes_[process(e->tgid)];
        if (!p.exec_begin && p.connections.empty()) p.exec_begin = e;
        return;
      }
      case GB_KIND_guest_exec_done: {
        Process& p = processes_[process(e->tgid)];
        if (p.connections.empty()) p.exec_done = e;
        return;
      }
      case GB_KIND_guest_socket:
        sockets_[e->tid] = e;
        return;
      case GB_KIND_guest_connect_begin:
        open_connection(e);
        break;
      case GB_KIND_guest_sock_state:
        if (args::guest_sock_state(*e).new_state == TCP_SYN_SENT) {
          const auto open = open_.find(skaddr_of(*e));
          if (open == open_.end() || connections_[open->second].established) open_connection(e);
        }
        break;
      default:
        break;
    }
    on_socket_event(e);
  }

  std::size_t process(std::uint32_t tgid) {
    const auto [it, is_new] = by_tgid_.try_emplace(tgid, processes_.size());
    if (is_new) processes_.emplace_back();
    return it->second;
  }

  // The parent's pipeline; begins one if there is none.
  Pipeline& pipeline_of(std::uint32_t parent) {
    const auto [it, is_new] = current_.try_emplace(parent, pipelines_.size());
    if (is_new) pipelines_.emplace_back();
    return pipelines_[it->second];
  }

  void on_clone(EventRef e) {
    if ((args::guest_clone_begin(*e).clone_flags & CLONE_THREAD) != 0) return;
    close_if_client_is_gone(e->tgid);
    Pipeline& p = pipeline_of(e->tgid);
    p.forks.push_back(e);
    ++p.clones;
  }

  // The parent forks again, so that whatever it waited for has ended.
  void close_if_client_is_gone(std::uint32_t parent) {
    const auto it = current_.find(parent);
    if (it == current_.end()) return;
    Pipeline& p = pipelines_[it->second];
    if (!p.client_exited && !p.client_reaped) return;
    p.complete = p.client_reaped;  // otherwise the event of its reaping was lost
    current_.erase(it);
  }

  void on_fork(EventRef e) {
    const auto child = static_cast<std::uint32_t>(args::guest_fork(*e).child_tgid);
    if (child == e->tgid) return;  // a thread
    if (!seen_[GB_KIND_guest_clone_begin]) close_if_client_is_gone(e->tgid);
    Pipeline& p = pipeline_of(e->tgid);
    p.forks.push_back(e);
    by_tgid_.erase(child);  // the number may have belonged to an earlier process
    const std::size_t index = process(child);
    processes_[index].fork = e;
    // The event before is its own clone, unless that was lost.
    if (p.forks.size() > 1 && p.forks[p.forks.size() - 2]->kind == GB_KIND_guest_clone_begin)
      processes_[index].clone = p.forks[p.forks.size() - 2];
    processes_[index].pipeline = current_[e->tgid];
    p.children.push_back(index);
    ++p.outstanding;
  }

  // Repeats what guest_reap said; it matters only if that event was lost.
  void on_waited(EventRef e) {
    const auto& waited = args::guest_waited(*e);
    const auto child = static_cast<std::uint32_t>(waited.child_tgid);
    if (waited.reap_ns == 0 || waited.reap_ns > e->ts_ns || !by_tgid_.contains(child)) return;
    on_reap(e->tgid, child, {nullptr, waited.reap_ns});
  }

  void on_reap(std::uint32_t tgid, std::uint32_t child_tgid, const Moment& reap) {
    const auto parent = current_.find(tgid);
    if (parent == current_.end()) return;
    Pipeline& p = pipelines_[parent->second];
    const std::size_t child = process(child_tgid);
    if (seen_[GB_KIND_guest_fork]) {
      if (processes_[child].pipeline != parent->second || processes_[child].reap.ns != 0) return;
      --p.outstanding;
    } else {
      processes_[child].pipeline = parent->second;
      p.children.push_back(child);
      p.outstanding = p.clones > ++p.reaps ? p.clones - p.reaps : 0;
    }
    processes_[child].reap = reap;
    p.client_reaped |= !processes_[child].connections.empty();
    p.last_reap = reap;
    by_tgid_.erase(child_tgid);
    if (p.outstanding != 0) return;
    p.complete = true;
    current_.erase(parent);
  }

  void on_exit(EventRef e) {
    if (args::guest_exit(*e).is_last_thread == 0) return;  // a thread of several
    Process& p = processes_[process(e->tgid)];
    p.exit = e;
    if (p.pipeline != kNone && !p.connections.empty()) pipelines_[p.pipeline].client_exited = true;
  }

  void open_connection(EventRef e) {
    GuestConnection c;
    c.tgid = e->tgid;
    c.skaddr = skaddr_of(*e);
    c.first_ns = e->ts_ns;
    if (const auto socket = sockets_.find(e->tid); socket != sockets_.end()) {
      c.socket = socket->second;
      c.socket_ns = c.socket->ts_ns;
      sockets_.erase(socket);
    }
    if (c.socket_ns == 0 && e->kind == GB_KIND_guest_connect_begin &&
        args::guest_connect_begin(*e).socket_ns <= e->ts_ns)
      c.socket_ns = args::guest_connect_begin(*e).socket_ns;
    if (c.socket_ns != 0) c.first_ns = c.socket_ns;
    open_[c.skaddr] = connections_.size();
    processes_[process(c.tgid)].connections.push_back(connections_.size());
    connections_.push_back(c);
  }

  void on_socket_event(EventRef e) {
    const auto open = open_.find(skaddr_of(*e));
    if (open == open_.end()) return;
    GuestConnection& c = connections_[open->second];
    const auto take_ports = [&c](const Ports& ports) {
      if (c.local_port == 0) c.local_port = static_cast<std::uint16_t>(ports.local);
      if (c.peer_port == 0) c.peer_port = static_cast<std::uint16_t>(ports.peer);
    };
    const auto set = [e](EventRef& slot) {
      if (slot == nullptr) slot = e;
    };
    switch (e->kind) {
      case GB_KIND_guest_connect_begin: {
        const auto& begin = args::guest_connect_begin(*e);
        c.connect_begin = e;
        c.ipv6 = is_ipv6(begin.dst_hi, begin.dst_lo);
        take_ports({.local = 0, .peer = begin.dst_port});
        break;
      }
      case GB_KIND_guest_sock_state: {
        const auto& state = args::guest_sock_state(*e);
        if (state.new_state == TCP_ESTABLISHED) set(c.established);
        if (!c.connect_begin) c.ipv6 = is_ipv6(state.peer_hi, state.peer_lo);
        take_ports(ports_of(*e));
        break;
      }
      case GB_KIND_guest_connect_done:
        set(c.connect_done);
        take_ports(ports_of(*e));
        break;
      case GB_KIND_guest_send:
        set(c.send);
        take_ports(ports_of(*e));
        break;
      case GB_KIND_guest_recv:
        if (args::guest_recv(*e).result > 0)
          c.read = e;
        else if (args::guest_recv(*e).result == 0)
          set(c.read_eof);
        take_ports(ports_of(*e));
        break;
      case GB_KIND_guest_close:
        set(args::guest_close(*e).how == GB_HOW_CLOSE ? c.close : c.half_close);
        take_ports(ports_of(*e));
        break;
      case GB_KIND_guest_close_done:
        if (args::guest_close_done(*e).how != GB_HOW_CLOSE) break;
        c.close_done = e;
        c.close_done_ns = e->ts_ns;
        take_ports(ports_of(*e));
        open_.erase(open);
        break;
      case GB_KIND_guest_released: {  // matters if guest_close_done was lost
        const std::uint64_t done_ns = args::guest_released(*e).close_done_ns;
        if (done_ns < c.first_ns || done_ns > e->ts_ns) return;
        c.close_done_ns = c.last_ns = done_ns;
        take_ports(ports_of(*e));
        open_.erase(open);
        return;
      }
      default:
        return;
    }
    c.last_ns = e->ts_ns;
  }

  void add_pipeline(const Pipeline& p, std::vector<bool>& used) {
    std::vector<const Process*> clients;
    for (const std::size_t child : p.children)
      if (processes_[child].connections.size() == 1) clients.push_back(&processes_[child]);
    for (const Process* client : clients) {
      used[client->connections.front()] = true;
      const GuestCycle cycle = clients.size() == 1 ? of_pipeline(p, *client) : of_client(p, *client);
      const bool ends = cycle.client_reap.ns != 0 && (clients.size() > 1 || p.complete);
      if (cycle.begin.ns != 0 && ends)
        out_.complete.push_back(cycle);
      else
        ++out_.incomplete;
    }
  }

  GuestCycle of_process(const Process& client) {
    GuestCycle cycle;
    cycle.kind = CycleKind::kFork;
    cycle.connection = connections_[client.connections.front()];
    cycle.exec_begin = client.exec_begin;
    cycle.exec_done = client.exec_done;
    cycle.exit = client.exit;
    cycle.client_reap = cycle.last_reap = client.reap;
    cycle.execs = client.exec_begin || client.exec_done || !same_name(client.fork, client.exit);
    return cycle;
  }

  // With one client, the whole pipeline is its cycle.
  GuestCycle of_pipeline(const Pipeline& p, const Process& client) {
    GuestCycle cycle = of_process(client);
    for (const EventRef e : p.forks) {
      if (e->ts_ns < cycle.connection.first_ns) cycle.forks.push_back(e);
      if (e == client.fork) break;
    }
    cycle.last_reap = p.last_reap;
    cycle.begin = clone_of(cycle.forks);
    return cycle;
  }

  // One of several clients: its cycle runs from its own clone to its own reaping.
  GuestCycle of_client(const Pipeline& p, const Process& client) {
    GuestCycle cycle = of_process(client);
    if (client.fork == nullptr) {  // its own clone is not known: take the last one before it connects
      const auto after = std::lower_bound(p.forks.begin(), p.forks.end(), cycle.connection.first_ns,
                                          [](EventRef e, std::uint64_t t) { return e->ts_ns < t; });
      if (after != p.forks.begin()) cycle.forks = {*(after - 1)};
    } else {
      if (client.clone) cycle.forks.push_back(client.clone);
      cycle.forks.push_back(client.fork);
    }
    cycle.begin = clone_of(cycle.forks);
    return cycle;
  }

  // The clone that a cycle begins with; if it was lost, its time comes from the fork.
  static Moment clone_of(const std::vector<EventRef>& forks) {
    if (forks.empty()) return {};
    const EventRef first = forks.front();
    if (first->kind == GB_KIND_guest_clone_begin) return {first, first->ts_ns};
    const std::uint64_t clone_ns = args::guest_fork(*first).clone_begin_ns;
    return clone_ns <= first->ts_ns ? Moment{nullptr, clone_ns} : Moment{};
  }

  // exec changes the name of a process: a client that still has its parent's name did not call exec.
  static bool same_name(EventRef fork, EventRef exit) {
    return fork && exit && std::ranges::equal(args::guest_fork(*fork).comm, args::guest_exit(*exit).comm);
  }

  void add_single(const GuestConnection& c) {
    const bool begins = c.socket_ns != 0;
    const bool ends = c.close_done_ns != 0;
    if (!begins || !ends) {
      ++out_.incomplete;
      return;
    }
    GuestCycle cycle;
    cycle.connection = c;
    out_.complete.push_back(cycle);
  }

  KindsSeen seen_;
  std::vector<Process> processes_;
  std::vector<Pipeline> pipelines_;
  std::vector<GuestConnection> connections_;
  std::unordered_map<std::uint32_t, std::size_t> by_tgid_;  // the live process with that number
  std::unordered_map<std::uint32_t, std::size_t> current_;  // pipeline of a parent
  std::unordered_map<std::uint64_t, std::size_t> open_;     // connection by skaddr
  std::unordered_map<std::uint32_t, EventRef> sockets_;     // created by the thread, not connected yet
  GuestCycles out_;
};

}  // namespace

KindsSeen kinds_seen(const Trace& trace) {
  KindsSeen seen{};
  for (const Side* side : {&trace.host, &trace.guest})
    for (const gb_event& e : side->events)
      seen[e.kind] = true;
  return seen;
}

GuestCycles find_guest_cycles(const Trace& trace) {
  return Finder(trace).result();
}

}  // namespace glassbox::trace
