// The device side of a split virtqueue (virtio 1.2, 2.7).
//
// Theory of operation: the driver is hostile and changes memory while the device reads it. Whatever comes
// from the rings or a descriptor table is copied once, then checked, and only the copy is used; a descriptor
// becomes an iovec only through GuestMemory::slice(). A chain is popped into storage that the caller lends,
// so that nothing is allocated. It is a move-only type that always returns to the ring: by push() as used, by
// unpop() as available, or, if it goes out of scope, as used with no bytes written.
//
// A driver that breaks the protocol (an index out of range, a loop, an address outside memory, ...) breaks
// its queue: fault() says why, pop() yields nothing from then on, the device asks for a reset. Used elements
// are written at once, but the driver sees none before publish() moves the used index.
//
// Notifications, with VIRTIO_F_EVENT_IDX or without: publish() stores the used index, then a full barrier,
// then reads what the driver asked for. With EVENT_IDX, elements that are not urgent may be published
// without an interrupt: the next publish() decides for them as well, and interrupt_owed() says whether the
// driver has still not noticed them. A device that is about to sleep calls arm(), which asks for a kick, then
// has a full barrier, then reads the available index again.
//
//   while (auto chain = queue.pop(storage)) {
//     const std::size_t n = fill(chain->writable());
//     queue.push(std::move(*chain), n);
//   }
//   if (queue.publish()) interrupt();
//
// Thread: all on the owner's event loop.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "vmm/platform/guest_memory.h"

namespace glassbox::virtio {

class Queue;

// The rule that a driver broke.
enum class QueueFault : std::uint8_t {
  kNone,
  kAvailableIndex,  // more available entries than the queue has
  kHead,            // a head or a next index outside the descriptor table
  kChainLength,     // more descriptors than the queue has, or than the storage holds: a loop, or a giant
  kAddress,         // a buffer or table outside guest memory
  kBytes,           // more than 2^32 - 1 bytes in one direction
  kOrder,           // a device-readable descriptor after a device-writable one
  kIndirect,        // an indirect table that is not negotiated, nested, empty, or of a wrong length
};

class DescriptorChain {
 public:
  DescriptorChain(DescriptorChain&& other) noexcept
      : queue_(std::exchange(other.queue_, nullptr)),
        head_(other.head_),
        readable_(other.readable_),
        writable_(other.writable_),
        readable_bytes_(other.readable_bytes_),
        writable_bytes_(other.writable_bytes_) {}
  DescriptorChain& operator=(DescriptorChain&&) = delete;
  DescriptorChain(const DescriptorChain&) = delete;
  ~DescriptorChain();

  // They lie in the storage given to pop(). The caller may trim the elements, not the spans.
  [[nodiscard]] std::span<iovec> readable() const { return readable_; }
  [[nodiscard]] std::span<iovec> writable() const { return writable_; }
  // The sums of the descriptors' lengths, even if the elements were trimmed since.
  [[nodiscard]] std::uint32_t readable_bytes() const { return readable_bytes_; }
  [[nodiscard]] std::uint32_t writable_bytes() const { return writable_bytes_; }

 private:
  friend class Queue;
  DescriptorChain() = default;

  Queue* queue_ = nullptr;  // null: returned to the ring
  std::uint16_t head_ = 0;
  std::span<iovec> readable_;
  std::span<iovec> writable_;
  std::uint32_t readable_bytes_ = 0;
  std::uint32_t writable_bytes_ = 0;
};

class Queue {
 public:
  static constexpr std::uint16_t kMaxSize = 256;

  struct Layout {
    std::uint16_t size = 0;  // a power of two
    GuestPhysAddr descriptors = 0;
    GuestPhysAddr available = 0;
    GuestPhysAddr used = 0;
  };
  // Features that the driver accepted and that change how the queue works.
  struct Features {
    bool event_idx = false;  // VIRTIO_F_EVENT_IDX
    bool indirect = false;   // VIRTIO_F_INDIRECT_DESC
  };

  // Starts with both indices at 0. False, and the queue stays off, if the layout breaks a rule of 2.7 (size,
  // alignment) or does not lie in guest memory.
  [[nodiscard]] bool enable(const GuestMemory& memory, const Layout& layout, const Features& features);
  void disable() { *this = Queue(); }
  [[nodiscard]] bool enabled() const { return memory_ != nullptr; }
  [[nodiscard]] std::uint16_t size() const { return size_; }
  [[nodiscard]] QueueFault fault() const { return fault_; }

  // The next chain, with its elements at the front of storage; nothing if there is none or the queue is
  // broken.
  [[nodiscard]] std::optional<DescriptorChain> pop(std::span<iovec> storage);
  // Returns the chain as used, with `written` bytes written to it, at most chain.writable_bytes().
  void push(DescriptorChain&& chain, std::uint32_t written);
  // Undoes the last pop() that is not undone yet. The chain will be popped, read and checked again.
  void unpop(DescriptorChain&& chain);

  // Whether there is a chain to pop.
  [[nodiscard]] bool has_available();
  // Makes the pushed elements visible to the driver. True if the driver wants an interrupt for them, or for
  // those that were published without one: the caller must then send it.
  [[nodiscard]] bool publish();
  // Makes the pushed elements visible and leaves the interrupt to a later publish(). Only with event_idx().
  void publish_without_interrupt();
  // Whether the driver has not yet noticed what was published without an interrupt. A driver that has noticed
  // asks for its next interrupt at a later element (used_event, 2.7.7.2).
  [[nodiscard]] bool interrupt_owed() const;
  [[nodiscard]] bool event_idx() const { return features_.event_idx; }
  // The used index after everything pushed is published.
  [[nodiscard]] std::uint16_t used_index() const { return used_index_; }
  [[nodiscard]] bool has_unpublished() const { return used_index_ != published_index_; }

  // Asks the driver for a kick when it adds elements behind index `seen`, the available index that the caller
  // has seen, then reads the index again. False: it has moved meanwhile, do not sleep. The first `skip` new
  // elements need no kick (only with event_idx()).
  [[nodiscard]] bool arm(std::uint16_t seen, std::uint16_t skip = 0);
  [[nodiscard]] bool arm() { return arm(next_available_); }
  [[nodiscard]] bool arm_behind(std::uint16_t skip) { return arm(next_available_, skip); }
  // The available index as last looked at by pop() or has_available().
  [[nodiscard]] std::uint16_t seen_index() const { return seen_index_; }
  // Tells the driver that kicks are not needed now. A hint; with event_idx() there is nothing to do.
  void disarm();

 private:
  struct Descriptor;
  struct Walk;

  bool look_at_available();
  void move_used_index();
  [[nodiscard]] std::uint16_t used_event() const;
  bool walk_table(Walk& walk, std::span<const std::byte> table, std::uint32_t entries, std::uint32_t first,
                  bool indirect);
  bool take(Walk& walk, const Descriptor& descriptor);
  bool break_with(QueueFault fault) {
    fault_ = fault;
    return false;
  }

  const GuestMemory* memory_ = nullptr;
  Features features_;
  QueueFault fault_ = QueueFault::kNone;
  std::uint16_t size_ = 0;
  std::uint16_t next_available_ = 0;
  std::uint16_t seen_index_ = 0;
  std::uint16_t used_index_ = 0;
  std::uint16_t published_index_ = 0;
  std::uint16_t notified_index_ = 0;  // the published index as of the last publish()
  bool armed_ = true;
  std::span<std::byte> descriptors_;
  std::span<std::byte> available_;
  std::span<std::byte> used_;
};

}  // namespace glassbox::virtio
