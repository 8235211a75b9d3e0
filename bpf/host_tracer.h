// Host side of a trace: attaches the BPF programs of bpf/host.bpf.c to one running glassbox process (`run` or
// `netns`). It hands out the events of the process's probes, and the kernel's events for its connections.
//
// Needs CAP_SYS_ADMIN in the initial user namespace. The tracer uses /proc/PID/exe, so the process may be
// traced after its binary was rebuilt or deleted. Connections that exist when tracing begins are not followed
// on the server's side. Two tracers of two processes are independent.
//
// Not thread-safe: one thread opens, polls and destroys. Events come in ring order, which is not quite time
// order: sort by ts_ns behind a watermark.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bpf/events.h"
#include "bpf/hook.h"
#include "vmm/base/result.h"

namespace glassbox::bpf {

// All counts are cumulative since open().
struct HostDrops {
  std::uint64_t ring_full = 0;
  std::array<std::uint64_t, GB_KIND_LIMIT> ring_full_by_kind{};
  std::uint64_t recursion_misses = 0;  // the kernel skipped a program that was running already on the CPU
  std::map<std::string, std::uint64_t> misses_by_hook;  // bpf/recursion.h
  std::uint64_t map_errors = 0;       // a connection or a call could not be stored: its events are missing
  std::uint64_t argument_errors = 0;  // an argument of a probe could not be read and is 0 in the event

  [[nodiscard]] std::uint64_t total() const { return ring_full + recursion_misses + map_errors; }
};

// The process has a KVM virtual machine.
[[nodiscard]] bool runs_a_vm(pid_t pid);

class HostTracer {
 public:
  struct Options {
    std::size_t ring_bytes = 16u << 20;  // a power of two; an event takes 136 bytes
    // Kernel events of the NAT's connections and of the servers at their other end. They slow down every
    // system call of the machine a little. Set this to false to do without them.
    bool kernel_events = true;
  };
  using Consumer = std::function<void(const gb_event&)>;

  // Fails, with one line for people, if the process does not exist, has no probes, or may not be traced. A
  // single hook that cannot be attached is not a failure: attached() says so.
  static Result<std::unique_ptr<HostTracer>> open(pid_t pid, const Options& options);
  static Result<std::unique_ptr<HostTracer>> open(pid_t pid) { return open(pid, Options{}); }

  ~HostTracer();
  HostTracer(const HostTracer&) = delete;
  HostTracer& operator=(const HostTracer&) = delete;

  // Every hook that was wanted, also those that could not be attached.
  [[nodiscard]] const std::vector<Hook>& attached() const;

  // Hands the events in the ring to `consumer` and returns their number. It takes at most as many as the ring
  // holds, so it returns even if events come faster than they are taken. Never blocks, and nothing wakes the
  // caller: call it every 10 to 100 ms. The reference is valid during the call only.
  Result<std::size_t> poll(const Consumer& consumer);

  [[nodiscard]] HostDrops drops() const;

  // Ends the making of events; those in the ring remain for one last poll(). Idempotent. The destructor takes
  // the programs out of the kernel, which lasts a second or two.
  void detach();

 private:
  struct Impl;
  explicit HostTracer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace glassbox::bpf
