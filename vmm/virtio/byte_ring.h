// A bounded FIFO of bytes. Allocates with the first byte, so that an idle connection costs no memory.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>

#include "vmm/base/check.h"

namespace glassbox::virtio {

class ByteRing {
 public:
  explicit ByteRing(std::size_t capacity) : capacity_(capacity) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t room() const { return capacity_ - size_; }

  // bytes.size() must not exceed room().
  void push(std::span<const std::byte> bytes) {
    GB_CHECK(bytes.size() <= room());
    if (!memory_) memory_ = std::make_unique_for_overwrite<std::byte[]>(capacity_);
    while (!bytes.empty()) {
      const std::size_t at = (head_ + size_) % capacity_;
      const std::size_t n = std::min(bytes.size(), capacity_ - at);
      std::memcpy(memory_.get() + at, bytes.data(), n);
      size_ += n;
      bytes = bytes.subspan(n);
    }
  }

  // Its whole content, in at most two pieces.
  [[nodiscard]] std::array<iovec, 2> view() const {
    const std::size_t first = std::min(size_, capacity_ - head_);
    return {iovec{memory_.get() + head_, first}, iovec{memory_.get(), size_ - first}};
  }

  void drop_front(std::size_t n) {
    GB_CHECK(n <= size_);
    head_ = (head_ + n) % capacity_;
    size_ -= n;
  }

 private:
  std::size_t capacity_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
  std::unique_ptr<std::byte[]> memory_;
};

}  // namespace glassbox::virtio
