// Guest side of a trace: loads the BPF programs of guest/trace/guest.bpf.c into the kernel that the caller
// runs on and hands out its events. The agent is the caller in a guest; any root process of a machine with
// kprobes or fentry can be (that is how it is tested).
//
// Needs root and kernel BTF; tracefs and bpffs need not be mounted. Links statically: -lbpf -lelf -lz. Events
// of the process that opens it are filtered and counted. Not thread-safe. Events come in ring order, which is
// not quite time order.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bpf/events.h"
#include "guest/guest_drops.h"
#include "vmm/base/result.h"

namespace glassbox::trace {

class GuestTracer {
 public:
  using Consumer = std::function<void(const gb_event&)>;

  // ring_bytes is a power of two of at least one page; 136 bytes an event. Fails only if the kernel refuses
  // the programs altogether: a hook that it lacks is in hooks() as missing. use_fentry is false in tests, to
  // have what a kernel without fentry gets.
  static Result<std::unique_ptr<GuestTracer>> open(std::size_t ring_bytes, bool use_fentry = true);

  ~GuestTracer();
  GuestTracer(const GuestTracer&) = delete;
  GuestTracer& operator=(const GuestTracer&) = delete;

  // One line a hook, as kTraceReady has them: "kernel_clone kprobe", "inet_stream_connect fentry",
  // "bprm_execve missing No such file or directory".
  [[nodiscard]] const std::vector<std::string>& hooks() const;

  // Hands every event that is in the ring to `consumer`, returns how many. Never blocks; nothing wakes the
  // caller: come round on a timer. The reference is valid during the call only.
  Result<std::size_t> consume(const Consumer& consumer);

  // Cumulative; buffer_full is the caller's and 0 here. ring_full includes calls and frames that could not be
  // remembered or read, since their events are missing likewise. kprobe_misses are forks and execs whose
  // tracepoint came without their kprobe.
  [[nodiscard]] GuestDrops drops() const;

  // No events are made after this; those in the ring remain for a last consume(). Idempotent. The programs
  // leave the kernel with the destructor, which takes a second or two: destroy it when nobody waits.
  void stop();

 private:
  struct Impl;
  explicit GuestTracer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace glassbox::trace
