#include "tools/trace/guest_cycles.h"

#include <algorithm>
#include <unordered_map>

namespace glassbox::trace {
namespace {

constexpr std::uint64_t kCloneThread = 0x10000;
constexpr std::uint64_t kShutClose = 2;  // arg "how" of guest_close: close()
enum TcpState : std::uint64_t { kEstablished = 1, kSynSent = 2 };
constexpr std::size_t kNone = SIZE_MAX;

struct Process {
  std::size_t pipeline = kNone;  // that it is a child of
  EventRef fork{}, exec_begin{}, exec_done{}, exit{}, reap{};
  std::vector<std::size_t> connections;
};

struct Pipeline {
  std::vector<EventRef> forks;  // guest_clone_begin and guest_fork of the parent
  std::vector<std::size_t> children;
  std::size_t outstanding = 0, clones = 0, reaps = 0;
  EventRef last_reap{};
  bool complete = false;
  bool client_exited = false, client_reaped = false;  // of a child that had a connection
};

class Finder {
 public:
  explicit Finder(const Trace& trace) : seen_(kinds_seen(trace)) {
    for (const gb_event& e : trace.guest.events)
      visit(&e);
  }

  GuestCycles result() {
    if (!seen_[GB_KIND_guest_reap]) {
      for (Pipeline& p : pipelines_)
        p.complete = true;  // add_pipeline() asks for the client's end
    }
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
        return on_reap(e);
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
        if (e->arg[3] == kSynSent) {
          const auto open = open_.find(e->arg[0]);
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

  // The parent's pipeline, begun if it has none.
  Pipeline& pipeline_of(std::uint32_t parent) {
    const auto [it, is_new] = current_.try_emplace(parent, pipelines_.size());
    if (is_new) pipelines_.emplace_back();
    return pipelines_[it->second];
  }

  void on_clone(EventRef e) {
    if (e->arg[0] & kCloneThread) return;
    close_if_client_is_gone(e->tgid);
    Pipeline& p = pipeline_of(e->tgid);
    p.forks.push_back(e);
    ++p.clones;
  }

  // The parent forks again: whatever it waited for before has ended.
  void close_if_client_is_gone(std::uint32_t parent) {
    const auto it = current_.find(parent);
    if (it == current_.end()) return;
    Pipeline& p = pipelines_[it->second];
    if (!p.client_exited && !p.client_reaped) return;
    p.complete = p.client_reaped;  // else its reaping was lost
    current_.erase(it);
  }

  void on_fork(EventRef e) {
    const auto child = static_cast<std::uint32_t>(e->arg[0]);
    if (child == e->tgid) return;  // a thread
    if (!seen_[GB_KIND_guest_clone_begin]) close_if_client_is_gone(e->tgid);
    Pipeline& p = pipeline_of(e->tgid);
    p.forks.push_back(e);
    by_tgid_.erase(child);  // the number may have been another process's before
    const std::size_t index = process(child);
    processes_[index].fork = e;
    processes_[index].pipeline = current_[e->tgid];
    p.children.push_back(index);
    ++p.outstanding;
  }

  void on_reap(EventRef e) {
    const auto parent = current_.find(e->tgid);
    if (parent == current_.end()) return;
    Pipeline& p = pipelines_[parent->second];
    const std::size_t child = process(static_cast<std::uint32_t>(e->arg[0]));
    if (seen_[GB_KIND_guest_fork]) {
      if (processes_[child].pipeline != parent->second || processes_[child].reap) return;
      --p.outstanding;
    } else {
      processes_[child].pipeline = parent->second;
      p.children.push_back(child);
      p.outstanding = p.clones > ++p.reaps ? p.clones - p.reaps : 0;
    }
    processes_[child].reap = e;
    p.client_reaped |= !processes_[child].connections.empty();
    p.last_reap = e;
    by_tgid_.erase(static_cast<std::uint32_t>(e->arg[0]));
    if (p.outstanding != 0) return;
    p.complete = true;
    current_.erase(parent);
  }

  void on_exit(EventRef e) {
    if (e->arg[1] == 0) return;  // a thread of several
    Process& p = processes_[process(e->tgid)];
    p.exit = e;
    if (p.pipeline != kNone && !p.connections.empty()) pipelines_[p.pipeline].client_exited = true;
  }

  void open_connection(EventRef e) {
    GuestConnection c;
    c.tgid = e->tgid;
    c.skaddr = e->arg[0];
    c.first_ns = e->ts_ns;
    if (const auto socket = sockets_.find(e->tid); socket != sockets_.end()) {
      c.socket = socket->second;
      c.first_ns = c.socket->ts_ns;
      sockets_.erase(socket);
    }
    open_[c.skaddr] = connections_.size();
    processes_[process(c.tgid)].connections.push_back(connections_.size());
    connections_.push_back(c);
  }

  void on_socket_event(EventRef e) {
    const auto open = open_.find(e->arg[0]);
    if (open == open_.end()) return;
    GuestConnection& c = connections_[open->second];
    const auto ports = [&c](std::uint64_t local, std::uint64_t peer) {
      if (c.local_port == 0) c.local_port = static_cast<std::uint16_t>(local);
      if (c.peer_port == 0) c.peer_port = static_cast<std::uint16_t>(peer);
    };
    const auto set = [e](EventRef& slot) {
      if (slot == nullptr) slot = e;
    };
    const auto result = static_cast<std::int64_t>(e->arg[1]);
    switch (e->kind) {
      case GB_KIND_guest_connect_begin:
        c.connect_begin = e;
        ports(0, e->arg[2]);
        break;
      case GB_KIND_guest_sock_state:
        if (e->arg[3] == kEstablished) set(c.established);
        ports(e->arg[4], e->arg[5]);
        break;
      case GB_KIND_guest_connect_done:
        set(c.connect_done);
        ports(e->arg[2], e->arg[3]);
        break;
      case GB_KIND_guest_send:
        set(c.send);
        ports(e->arg[2], e->arg[3]);
        break;
      case GB_KIND_guest_recv:
        if (result > 0)
          c.read = e;
        else if (result == 0)
          set(c.read_eof);
        ports(e->arg[2], e->arg[3]);
        break;
      case GB_KIND_guest_close:
        set(e->arg[1] == kShutClose ? c.close : c.half_close);
        ports(e->arg[2], e->arg[3]);
        break;
      case GB_KIND_guest_close_done:
        if (e->arg[1] != kShutClose) break;
        c.close_done = e;
        ports(e->arg[2], e->arg[3]);
        open_.erase(open);
        break;
      default:
        return;
    }
    c.last_ns = e->ts_ns;
  }

  void add_pipeline(const Pipeline& p, std::vector<bool>& used) {
    const Process* client = nullptr;
    for (const std::size_t child : p.children) {
      const Process& process_entry = processes_[child];
      if (process_entry.connections.size() != 1) continue;
      if (client != nullptr) return;  // several clients at once: each connection is a cycle of its own
      client = &process_entry;
    }
    if (client == nullptr) return;
    used[client->connections.front()] = true;
    GuestCycle cycle;
    cycle.kind = CycleKind::kFork;
    cycle.connection = connections_[client->connections.front()];
    for (const EventRef e : p.forks) {
      if (e->ts_ns < cycle.connection.first_ns) cycle.forks.push_back(e);
      if (e == client->fork) break;
    }
    cycle.exec_begin = client->exec_begin;
    cycle.exec_done = client->exec_done;
    cycle.exit = client->exit;
    cycle.client_reap = client->reap;
    cycle.last_reap = p.last_reap;
    cycle.execs = client->exec_begin || client->exec_done || !same_name(client->fork, client->exit);
    const bool begins = !cycle.forks.empty() && (cycle.forks.front()->kind == GB_KIND_guest_clone_begin ||
                                                 !seen_[GB_KIND_guest_clone_begin]);
    const bool ends = seen_[GB_KIND_guest_reap] ? cycle.client_reap && cycle.last_reap
                                                : cycle.exit || cycle.connection.close_done;
    if (p.complete && begins && ends)
      out_.complete.push_back(std::move(cycle));
    else
      ++out_.incomplete;
  }

  // exec changes a process's name; a client that kept its parent's did not call it.
  static bool same_name(EventRef fork, EventRef exit) {
    return fork && exit && fork->arg[10] == exit->arg[10] && fork->arg[11] == exit->arg[11];
  }

  void add_single(const GuestConnection& c) {
    const bool begins = c.socket || (!seen_[GB_KIND_guest_socket] && c.connect_begin);
    const bool ends = c.close_done || (!seen_[GB_KIND_guest_close_done] && c.close);
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
  std::unordered_map<std::uint32_t, std::size_t> by_tgid_;  // the live process of that number
  std::unordered_map<std::uint32_t, std::size_t> current_;  // pipeline of a parent
  std::unordered_map<std::uint64_t, std::size_t> open_;     // connection by skaddr
  std::unordered_map<std::uint32_t, EventRef> sockets_;     // made by the thread, not connected yet
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
