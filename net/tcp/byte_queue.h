// Bounded memory for payload that must wait: what the guest has not acknowledged yet (where the host socket
// cannot keep it) and what the host socket would not take yet. Chunks of one fixed pool, linked into queues.
//
// The pool's memory is reserved at the start and touched when used; free chunks are taken last in first out,
// so that few are ever touched. Nothing allocates.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/base/result.h"

namespace glassbox::net {

class ChunkPool {
 public:
  static constexpr std::size_t kChunkBytes = 4096;
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  [[nodiscard]] static Result<ChunkPool> create(std::size_t chunks);
  ChunkPool(ChunkPool&& other) noexcept;
  ChunkPool& operator=(ChunkPool&&) = delete;
  ~ChunkPool();

  [[nodiscard]] std::uint32_t take();  // kNone if there is none
  void give_back(std::uint32_t chunk);
  [[nodiscard]] std::size_t free_bytes() const { return free_ * kChunkBytes; }
  [[nodiscard]] std::size_t total_bytes() const { return chunks_ * kChunkBytes; }

  [[nodiscard]] std::uint8_t* data(std::uint32_t chunk) { return memory_ + chunk * kChunkBytes; }
  [[nodiscard]] std::uint32_t& next(std::uint32_t chunk) { return links_[chunk]; }

 private:
  ChunkPool() = default;

  std::uint8_t* memory_ = nullptr;  // chunks, then links
  std::uint32_t* links_ = nullptr;
  std::size_t mapped_bytes_ = 0;
  std::size_t chunks_ = 0;
  std::size_t free_ = 0;
  std::size_t untouched_ = 0;  // chunks never taken yet: [untouched_, chunks_)
  std::uint32_t head_ = kNone;
};

// A FIFO of bytes in chunks of a pool, which the caller passes each time: ten thousand idle queues are small.
// Must be clear()ed before it goes.
class ByteQueue {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  // Copies len bytes from pieces, or as many as the pool has room for; returns how many.
  std::size_t append(ChunkPool& pool, std::span<const iovec> pieces, std::size_t len);
  void drop_front(ChunkPool& pool, std::size_t n);
  void clear(ChunkPool& pool) { drop_front(pool, size_); }
  // Describes the bytes from offset on, at most max_bytes; returns the number of pieces used.
  [[nodiscard]] std::size_t view(ChunkPool& pool, std::size_t offset, std::size_t max_bytes,
                                 std::span<iovec> out) const;

 private:
  std::uint32_t head_ = ChunkPool::kNone;
  std::uint32_t tail_ = ChunkPool::kNone;
  std::uint32_t head_offset_ = 0;  // bytes of the first chunk that are gone
  std::uint32_t tail_used_ = 0;
  std::size_t size_ = 0;
};

}  // namespace glassbox::net
