// The reading end of a tracer's ring buffer; bpf/emit.bpf.h has the writing end.
//
// Thread: one at a time.
#pragma once

#include <bpf/libbpf.h>

#include <cerrno>
#include <cstddef>
#include <functional>
#include <memory>

#include "bpf/events.h"
#include "bpf/libbpf_log.h"
#include "vmm/base/result.h"

namespace glassbox::bpf {

class EventRing {
 public:
  using Consumer = std::function<void(const gb_event&)>;

  // `bytes` is the size of the map. Do not move an open EventRing: libbpf has its address.
  Status open(int map_fd, std::size_t bytes) {
    most_ = bytes / (sizeof(gb_event) + kRecordHeader);
    ring_.reset(ring_buffer__new(map_fd, on_event, this, nullptr));
    if (!ring_) return fail("cannot map the trace ring buffer: {}", take_libbpf_error(errno));
    return {};
  }
  void close() { ring_.reset(); }

  // Hands out the events in the ring and returns their number: at most as many as the ring holds, so that it
  // returns even if events come faster than they are taken. Never blocks.
  Result<std::size_t> consume(const Consumer& consumer) {
    consumer_ = &consumer;
    left_ = most_;
    const int count = ring_buffer__consume(ring_.get());
    consumer_ = nullptr;
    if (count == -ECANCELED) return most_;
    if (count < 0) return fail_errno(-count, "cannot read the trace ring buffer");
    return static_cast<std::size_t>(count);
  }

 private:
  static constexpr std::size_t kRecordHeader = 8;  // BPF_RINGBUF_HDR_SZ: the kernel's, before each event

  struct RingFree {
    void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
  };

  static int on_event(void* self, void* data, std::size_t size) {
    auto& ring = *static_cast<EventRing*>(self);
    if (size >= sizeof(gb_event)) (*ring.consumer_)(*static_cast<const gb_event*>(data));
    return --ring.left_ == 0 ? -ECANCELED : 0;  // consumed, and no further
  }

  std::unique_ptr<ring_buffer, RingFree> ring_;
  const Consumer* consumer_ = nullptr;  // set during consume()
  std::size_t most_ = 0, left_ = 0;
};

}  // namespace glassbox::bpf
