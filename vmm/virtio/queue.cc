#include "vmm/virtio/queue.h"

#include <atomic>
#include <bit>
#include <cassert>
#include <cstring>
#include <limits>

#include "vmm/base/check.h"

namespace glassbox::virtio {

struct Queue::Descriptor {
  std::uint64_t address;
  std::uint32_t length;
  std::uint16_t flags;
  std::uint16_t next;
};

// One chain while it is copied from the table to the caller's storage.
struct Queue::Walk {
  std::span<iovec> storage;
  std::size_t filled = 0;
  std::size_t readable = 0;  // of the filled ones
  std::uint32_t descriptors = 0;
  bool in_writable = false;
  std::uint64_t readable_bytes = 0;
  std::uint64_t writable_bytes = 0;
};

namespace {

// 2.7.5 to 2.7.8. (<linux/virtio_ring.h> is not C++.)
constexpr std::uint16_t kDescriptorNext = 1;
constexpr std::uint16_t kDescriptorWrite = 2;
constexpr std::uint16_t kDescriptorIndirect = 4;
constexpr std::uint16_t kNoInterrupt = 1;  // flags of the available ring
constexpr std::uint16_t kNoNotify = 1;     // flags of the used ring
constexpr std::size_t kDescriptorSize = 16;
struct UsedElement {
  std::uint32_t id;
  std::uint32_t length;
};

// 2.7.10: whether the index has moved from `old` past the one that the other side waits for.
constexpr bool need_event(std::uint16_t event, std::uint16_t now, std::uint16_t old) {
  return static_cast<std::uint16_t>(now - event - 1) < static_cast<std::uint16_t>(now - old);
}

// struct vring_avail: flags, idx, ring[size], used_event. struct vring_used: flags, idx, elements,
// avail_event.
constexpr std::size_t kFlagsOffset = 0;
constexpr std::size_t kIndexOffset = 2;
constexpr std::size_t kRingOffset = 4;
constexpr std::size_t kAvailableEntry = 2;
constexpr std::size_t kUsedEntry = 8;

constexpr std::size_t available_bytes(std::uint16_t size) {
  return kRingOffset + kAvailableEntry * size + 2;
}
constexpr std::size_t used_bytes(std::uint16_t size) {
  return kRingOffset + kUsedEntry * size + 2;
}

// The driver runs concurrently on another CPU: each of these is a single access of two bytes. The rings'
// alignment was checked when the queue was enabled.
std::uint16_t load(std::span<std::byte> ring, std::size_t offset) {
  GB_CHECK(offset + 2 <= ring.size());
  return __atomic_load_n(reinterpret_cast<const std::uint16_t*>(ring.data() + offset), __ATOMIC_ACQUIRE);
}

void store(std::span<std::byte> ring, std::size_t offset, std::uint16_t value) {
  GB_CHECK(offset + 2 <= ring.size());
  __atomic_store_n(reinterpret_cast<std::uint16_t*>(ring.data() + offset), value, __ATOMIC_RELEASE);
}

// Orders the device's store before its next load, as the driver on another CPU sees them. The thread
// sanitizer does not model fences, and it does not see the driver as a thread.
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
void full_barrier() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace

DescriptorChain::~DescriptorChain() {
  if (queue_ != nullptr) queue_->push(std::move(*this), 0);
}

bool Queue::enable(const GuestMemory& memory, const Layout& layout, const Features& features) {
  disable();
  if (!std::has_single_bit(layout.size) || layout.size > kMaxSize) return false;
  if (layout.descriptors % 16 != 0 || layout.available % 2 != 0 || layout.used % 4 != 0) return false;
  const auto descriptors = memory.slice(layout.descriptors, kDescriptorSize * layout.size);
  const auto available = memory.slice(layout.available, available_bytes(layout.size));
  const auto used = memory.slice(layout.used, used_bytes(layout.size));
  if (!descriptors || !available || !used) return false;
  memory_ = &memory;
  features_ = features;
  size_ = layout.size;
  descriptors_ = *descriptors;
  available_ = *available;
  used_ = *used;
  return true;
}

// Reads the available index once; true if it is plausible.
bool Queue::look_at_available() {
  seen_index_ = load(available_, kIndexOffset);
  const auto pending = static_cast<std::uint16_t>(seen_index_ - next_available_);
  return pending <= size_ || break_with(QueueFault::kAvailableIndex);
}

bool Queue::has_available() {
  if (!enabled() || fault_ != QueueFault::kNone || !look_at_available()) return false;
  return seen_index_ != next_available_;
}

std::optional<DescriptorChain> Queue::pop(std::span<iovec> storage) {
  if (!has_available()) return std::nullopt;
  const std::size_t slot = next_available_ & (size_ - 1U);
  const std::uint16_t head = load(available_, kRingOffset + kAvailableEntry * slot);
  Walk walk{.storage = storage};
  if (!walk_table(walk, descriptors_, size_, head, false)) return std::nullopt;
  ++next_available_;

  DescriptorChain chain;
  chain.queue_ = this;
  chain.head_ = head;
  chain.readable_ = storage.first(walk.readable);
  chain.writable_ = storage.subspan(walk.readable, walk.filled - walk.readable);
  chain.readable_bytes_ = static_cast<std::uint32_t>(walk.readable_bytes);
  chain.writable_bytes_ = static_cast<std::uint32_t>(walk.writable_bytes);
  return chain;
}

// Follows a chain through one table. `table` is guest memory: each descriptor is copied out before it is
// looked at.
bool Queue::walk_table(Walk& walk, std::span<const std::byte> table, std::uint32_t entries,
                       std::uint32_t first, bool indirect) {
  std::uint32_t index = first;
  for (;;) {
    if (index >= entries) return break_with(QueueFault::kHead);
    Descriptor descriptor;
    std::memcpy(&descriptor, table.data() + std::size_t{index} * kDescriptorSize, sizeof(descriptor));
    std::atomic_signal_fence(std::memory_order_seq_cst);  // the compiler may not read it a second time

    // The chain may not be longer than the queue (2.7.5.3.1), which also ends every loop.
    if (++walk.descriptors > size_) return break_with(QueueFault::kChainLength);
    if ((descriptor.flags & kDescriptorIndirect) != 0) {
      // Not in an indirect table, not with NEXT, only if negotiated (2.7.5.3.1).
      if (indirect || !features_.indirect || (descriptor.flags & kDescriptorNext) != 0 ||
          descriptor.length == 0 || descriptor.length % kDescriptorSize != 0) {
        return break_with(QueueFault::kIndirect);
      }
      const auto inner = memory_->slice(descriptor.address, descriptor.length);
      if (!inner) return break_with(QueueFault::kAddress);
      return walk_table(walk, *inner, descriptor.length / kDescriptorSize, 0, true);
    }
    if (!take(walk, descriptor)) return false;
    if ((descriptor.flags & kDescriptorNext) == 0) return true;
    index = descriptor.next;
  }
}

// Turns one descriptor into an iovec.
bool Queue::take(Walk& walk, const Descriptor& descriptor) {
  const bool writable = (descriptor.flags & kDescriptorWrite) != 0;
  if (!writable && walk.in_writable) return break_with(QueueFault::kOrder);  // 2.7.4.2
  walk.in_writable = writable;
  std::uint64_t& bytes = writable ? walk.writable_bytes : walk.readable_bytes;
  bytes += descriptor.length;
  if (bytes > std::numeric_limits<std::uint32_t>::max()) return break_with(QueueFault::kBytes);  // 2.7.4.1
  if (descriptor.length == 0) return true;  // an empty buffer carries nothing
  const auto buffer = memory_->slice(descriptor.address, descriptor.length);
  if (!buffer) return break_with(QueueFault::kAddress);
  if (walk.filled == walk.storage.size()) return break_with(QueueFault::kChainLength);
  walk.storage[walk.filled++] = iovec{buffer->data(), buffer->size()};
  if (!writable) walk.readable = walk.filled;
  return true;
}

void Queue::push(DescriptorChain&& chain, std::uint32_t written) {
  GB_CHECK(chain.queue_ == this && written <= chain.writable_bytes_);
  chain.queue_ = nullptr;
  if (!enabled()) return;  // the driver reset the device while the chain was out
  const std::size_t slot = used_index_ & (size_ - 1U);
  const UsedElement element{.id = chain.head_, .length = written};
  static_assert(sizeof(element) == kUsedEntry);
  std::memcpy(used_.data() + kRingOffset + kUsedEntry * slot, &element, sizeof(element));
  ++used_index_;
}

void Queue::unpop(DescriptorChain&& chain) {
  GB_CHECK(chain.queue_ == this);
  chain.queue_ = nullptr;
  --next_available_;
}

bool Queue::publish() {
  if (!enabled() || used_index_ == notified_index_) return false;
  const std::uint16_t old = std::exchange(notified_index_, used_index_);
  move_used_index();
  if (!features_.event_idx) {
    return (load(available_, kFlagsOffset) & kNoInterrupt) == 0;
  }
  return need_event(used_event(), used_index_, old);
}

void Queue::publish_without_interrupt() {
  assert(features_.event_idx || !enabled());
  if (!enabled()) return;
  if (!interrupt_owed()) notified_index_ = published_index_;
  move_used_index();
}

bool Queue::interrupt_owed() const {
  if (!enabled() || published_index_ == notified_index_) return false;
  return need_event(used_event(), published_index_, notified_index_);
}

void Queue::move_used_index() {
  published_index_ = used_index_;
  store(used_, kIndexOffset, used_index_);
  full_barrier();
}

std::uint16_t Queue::used_event() const {
  return load(available_, kRingOffset + kAvailableEntry * size_);
}

bool Queue::arm(std::uint16_t seen, std::uint16_t skip) {
  if (!enabled() || fault_ != QueueFault::kNone) return true;
  if (features_.event_idx) {
    store(used_, kRingOffset + kUsedEntry * size_, static_cast<std::uint16_t>(seen + skip));
  } else if (!armed_) {
    store(used_, kFlagsOffset, 0);
    armed_ = true;
  }
  full_barrier();
  return load(available_, kIndexOffset) == seen;
}

void Queue::disarm() {
  if (!enabled() || features_.event_idx || !armed_) return;
  store(used_, kFlagsOffset, kNoNotify);
  armed_ = false;
}

}  // namespace glassbox::virtio
