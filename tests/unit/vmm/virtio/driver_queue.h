// The driver's side of a split virtqueue, for tests: builds chains fluently, well-formed or not, in fake
// guest memory.
//
//   DriverQueue driver(vm.memory(), {.size = 8, ...});
//   driver.chain().readable("abc").writable(100).submit();
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/virtio/queue.h"

namespace glassbox::fake {

struct RawDescriptor {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint16_t flags = 0;
  std::uint16_t next = 0;
};

struct UsedElement {
  std::uint32_t id = 0;
  std::uint32_t length = 0;
};

inline constexpr std::uint16_t kNext = 1;
inline constexpr std::uint16_t kWrite = 2;
inline constexpr std::uint16_t kIndirect = 4;

class DriverQueue {
 public:
  // A queue's own megabyte: rings at its start, buffers after them.
  static constexpr GuestPhysAddr kArea = 1 << 20;
  static constexpr GuestPhysAddr kBuffers = 0x10000;

  DriverQueue(const GuestMemory& memory, std::uint16_t size, unsigned area = 1)
      : memory_(memory), size_(size), base_(area * kArea), next_buffer_(base_ + kBuffers) {
    std::memset(memory_.slice(base_, kArea)->data(), 0, kArea);
  }

  [[nodiscard]] virtio::Queue::Layout layout() const {
    return {.size = size_, .descriptors = base_, .available = base_ + 0x4000, .used = base_ + 0x8000};
  }

  class Chain {
   public:
    explicit Chain(DriverQueue& queue) : queue_(queue) {}
    Chain& readable(std::string_view bytes) {
      const GuestPhysAddr address = queue_.buffer(bytes.size());
      std::memcpy(queue_.memory_.slice(address, bytes.size())->data(), bytes.data(), bytes.size());
      return raw({address, static_cast<std::uint32_t>(bytes.size()), 0, 0});
    }
    Chain& writable(std::uint32_t length) { return raw({queue_.buffer(length), length, kWrite, 0}); }
    Chain& raw(RawDescriptor descriptor) {
      descriptors_.push_back(descriptor);
      return *this;
    }
    // All of it in an indirect table.
    Chain& indirect() {
      indirect_ = true;
      return *this;
    }
    // Links the descriptors and makes the chain available; returns its head.
    std::uint16_t submit() {
      if (indirect_) {
        const auto bytes = static_cast<std::uint32_t>(descriptors_.size() * sizeof(RawDescriptor));
        const GuestPhysAddr table = queue_.buffer(bytes);
        for (std::size_t i = 0; i < descriptors_.size(); ++i) {
          RawDescriptor d = descriptors_[i];
          if (i + 1 < descriptors_.size()) d.flags |= kNext;
          d.next = static_cast<std::uint16_t>(i + 1);
          EXPECT_TRUE(queue_.memory_.write(table + i * sizeof(d), d));
        }
        descriptors_ = {{table, bytes, kIndirect, 0}};
      }
      const std::uint16_t head = queue_.next_descriptor_;
      for (std::size_t i = 0; i < descriptors_.size(); ++i) {
        RawDescriptor d = descriptors_[i];
        const std::uint16_t at = queue_.take_descriptor();
        if (i + 1 < descriptors_.size()) {
          d.flags |= kNext;
          d.next = queue_.next_descriptor_;
        }
        queue_.put(at, d);
      }
      queue_.make_available(head);
      return head;
    }

   private:
    DriverQueue& queue_;
    std::vector<RawDescriptor> descriptors_;
    bool indirect_ = false;
  };
  [[nodiscard]] Chain chain() { return Chain(*this); }

  // The pieces, for what a well-behaved driver does not do.
  void put(std::uint16_t index, const RawDescriptor& descriptor) {
    EXPECT_TRUE(memory_.write(base_ + index * sizeof(descriptor), descriptor));
  }
  [[nodiscard]] RawDescriptor descriptor(std::uint16_t index) const {
    return *memory_.read<RawDescriptor>(base_ + index * sizeof(RawDescriptor));
  }
  void make_available(std::uint16_t head) {
    const auto slot = static_cast<std::uint16_t>(available_ % size_);
    store(layout().available + 4 + 2U * slot, head);
    set_available_index(static_cast<std::uint16_t>(available_ + 1));
  }
  void set_available_index(std::uint16_t index) {
    available_ = index;
    store(layout().available + 2, index);
  }
  [[nodiscard]] std::uint16_t available_index() const { return available_; }
  void set_no_interrupt(bool on) { store(layout().available, on); }
  void set_used_event(std::uint16_t index) { store(layout().available + 4 + 2U * size_, index); }
  [[nodiscard]] std::uint16_t available_event() const { return load(layout().used + 4 + 8U * size_); }
  [[nodiscard]] bool no_notify() const { return load(layout().used) != 0; }
  [[nodiscard]] std::uint16_t used_index() const { return load(layout().used + 2); }

  // The next used element that the driver has not seen.
  std::optional<UsedElement> take_used() {
    if (used_seen_ == used_index()) return std::nullopt;
    const auto slot = static_cast<std::uint16_t>(used_seen_++ % size_);
    return memory_.read<UsedElement>(layout().used + 4 + 8U * slot);
  }
  // The bytes of a chain's first device-writable buffers, in order, `length` of them.
  [[nodiscard]] std::string written(const UsedElement& used) const {
    std::string bytes;
    auto index = static_cast<std::uint16_t>(used.id);
    for (;;) {
      const RawDescriptor d = descriptor(index);
      if ((d.flags & kWrite) != 0) {
        const auto n = std::min<std::size_t>(d.length, used.length - bytes.size());
        const auto part = memory_.slice(d.address, n);
        bytes.append(reinterpret_cast<const char*>(part->data()), n);
      }
      if ((d.flags & kNext) == 0 || bytes.size() == used.length) return bytes;
      index = d.next;
    }
  }

  // Wraps around within the area; buffers of chains in flight must fit in it together.
  [[nodiscard]] GuestPhysAddr buffer(std::size_t bytes) {
    if (next_buffer_ + bytes > base_ + kArea) next_buffer_ = base_ + kBuffers;
    const GuestPhysAddr address = next_buffer_;
    next_buffer_ += (bytes + 15) & ~std::size_t{15};
    return address;
  }

 private:
  // What both sides access at the same time.
  void store(GuestPhysAddr address, std::uint16_t value) {
    auto* word = reinterpret_cast<std::uint16_t*>(memory_.slice(address, 2)->data());
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
  }
  [[nodiscard]] std::uint16_t load(GuestPhysAddr address) const {
    const auto* word = reinterpret_cast<const std::uint16_t*>(memory_.slice(address, 2)->data());
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
  }

  std::uint16_t take_descriptor() {
    const std::uint16_t at = next_descriptor_;
    next_descriptor_ = static_cast<std::uint16_t>((next_descriptor_ + 1) % size_);
    return at;
  }

  const GuestMemory& memory_;
  const std::uint16_t size_;
  const GuestPhysAddr base_;
  GuestPhysAddr next_buffer_;
  std::uint16_t next_descriptor_ = 0;
  std::uint16_t available_ = 0;
  std::uint16_t used_seen_ = 0;
};

}  // namespace glassbox::fake
