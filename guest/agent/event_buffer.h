// Holds guest events while the workload runs, first in first out. Its memory is allocated and touched once,
// at the start, so that filling it causes no page fault. An event that does not fit is counted and thrown
// away; events in the buffer are never overwritten.
//
// Thread: the trace session's. The buffer owns its memory; a span of events() is valid until clear() or
// push().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "bpf/events.h"
#include "vmm/base/result.h"

namespace glassbox::agent {

class EventBuffer {
 public:
  // `capacity` is in events. Fails if the memory cannot be had.
  [[nodiscard]] static Result<EventBuffer> create(std::size_t capacity);
  EventBuffer(EventBuffer&& other) noexcept
      : events_(other.events_), size_(other.size_), refused_(other.refused_) {
    other.events_ = {};
  }
  EventBuffer& operator=(EventBuffer&&) = delete;
  ~EventBuffer();

  void push(const gb_event& event) {
    if (size_ == events_.size()) {
      ++refused_.at(event.kind % GB_KIND_LIMIT);
      return;
    }
    events_[size_++] = event;
  }
  [[nodiscard]] std::span<const gb_event> events() const { return events_.first(size_); }
  [[nodiscard]] bool half_full() const { return size_ >= events_.size() / 2; }
  // Events that did not fit since create(), by event kind.
  [[nodiscard]] const std::array<std::uint64_t, GB_KIND_LIMIT>& refused() const { return refused_; }
  void clear() { size_ = 0; }

 private:
  explicit EventBuffer(std::span<gb_event> events) : events_(events) {}
  std::span<gb_event> events_;
  std::size_t size_ = 0;
  std::array<std::uint64_t, GB_KIND_LIMIT> refused_{};
};

}  // namespace glassbox::agent
