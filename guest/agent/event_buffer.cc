#include "guest/agent/event_buffer.h"

#include <sys/mman.h>

namespace glassbox::agent {

Result<EventBuffer> EventBuffer::create(std::size_t capacity) {
  const std::size_t bytes = capacity * sizeof(gb_event);
  // MAP_POPULATE: otherwise every 32 events would cost a page fault within the measured time.
  void* memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) return fail_errno(errno, "cannot allocate {} bytes for the event buffer", bytes);
  return EventBuffer(std::span(static_cast<gb_event*>(memory), capacity));
}

EventBuffer::~EventBuffer() {
  if (!events_.empty()) ::munmap(events_.data(), events_.size_bytes());
}

}  // namespace glassbox::agent
