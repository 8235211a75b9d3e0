// Bounded memory for payload that must wait: bytes that the guest has not acknowledged yet, if the host
// socket cannot keep them, and bytes that the host socket does not take yet. Queues are chains of chunks of
// one fixed pool.
//
// The pool's memory is reserved by create() and touched when it is used. The chunk that was freed last is
// taken first, so that few are ever touched. Nothing allocates after create().
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

  // Fails if the memory cannot be reserved.
  [[nodiscard]] static Result<ChunkPool> create(std::size_t chunks);
  ChunkPool(ChunkPool&& other) noexcept;
  ChunkPool& operator=(ChunkPool&&) = delete;
  ~ChunkPool();

  [[nodiscard]] std::uint32_t take();  // kNone if none is free
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

// A FIFO of bytes in chunks of a pool. The caller passes the same pool each time, so that an idle queue is
// small. It must be clear()ed before it is destroyed.
class ByteQueue {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  // Copies len bytes from the front of pieces, or as many as the pool has room for; returns how many.
  std::size_t append(ChunkPool& pool, std::span<const iovec> pieces, std::size_t len);
  void drop_front(ChunkPool& pool, std::size_t n);
  void clear(ChunkPool& pool) { drop_front(pool, size_); }
  // Sets out to the bytes from offset on, at most max_bytes; returns the number of pieces used.
  [[nodiscard]] std::size_t view(ChunkPool& pool, std::size_t offset, std::size_t max_bytes,
                                 std::span<iovec> out) const;

 private:
  std::uint32_t head_ = ChunkPool::kNone;
  std::uint32_t tail_ = ChunkPool::kNone;
  std::uint32_t head_offset_ = 0;  // bytes of the first chunk that were dropped
  std::uint32_t tail_used_ = 0;
  std::size_t size_ = 0;
};

}  // namespace glassbox::net
