// Guest side of a trace: loads the BPF programs of guest/trace/guest.bpf.c into the kernel that the caller
// runs on, and hands out their events. In a guest the caller is the agent. In tests it is any root process on
// a machine with kprobes or fentry.
//
// Needs root and kernel BTF; tracefs and bpffs need not be mounted. Links statically: -lbpf -lelf -lz. Events
// of the process that opens the tracer are counted and not reported. Not thread-safe. Events come in ring
// order, which is not quite time order.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bpf/events.h"
#include "guest/guest_drops.h"
#include "vmm/base/result.h"

namespace glassbox::bpf {

class GuestTracer {
 public:
  using Consumer = std::function<void(const gb_event&)>;

  // ring_bytes is a power of two and at least one page; an event takes 136 bytes. Fails only if the kernel
  // refuses all programs: hooks() lists a single hook that is missing. Tests pass use_fentry = false to get
  // what a kernel without fentry gets.
  static Result<std::unique_ptr<GuestTracer>> open(std::size_t ring_bytes, bool use_fentry = true);

  ~GuestTracer();
  GuestTracer(const GuestTracer&) = delete;
  GuestTracer& operator=(const GuestTracer&) = delete;

  // One line for each hook, in the form of kTraceReady: "kernel_clone kprobe", "inet_stream_connect fentry",
  // "bprm_execve missing No such file or directory".
  [[nodiscard]] const std::vector<std::string>& hooks() const;

  // Hands every event in the ring to `consumer` and returns their number. Never blocks, and nothing wakes the
  // caller: call it on a timer. The reference is valid during the call only.
  Result<std::size_t> consume(const Consumer& consumer);

  // Cumulative. buffer_full is 0 here: it is the caller's to count. ring_full includes calls and frames that
  // could not be stored or read, because their events are missing too. kprobe_misses are forks and execs
  // whose tracepoint fired without their kprobe.
  [[nodiscard]] GuestDrops drops() const;

  // Ends the making of events; those in the ring remain for a last consume(). Idempotent. The destructor
  // takes the programs out of the kernel, which lasts a second or two: destroy the tracer when nothing waits
  // for it.
  void stop();

 private:
  struct Impl;
  explicit GuestTracer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace glassbox::bpf
