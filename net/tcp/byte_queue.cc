#include "net/tcp/byte_queue.h"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace glassbox::net {

Result<ChunkPool> ChunkPool::create(std::size_t chunks) {
  ChunkPool pool;
  pool.mapped_bytes_ = chunks * (kChunkBytes + sizeof(std::uint32_t));
  void* memory = ::mmap(nullptr, pool.mapped_bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return fail_errno(errno, "cannot reserve {} bytes for the NAT's buffers", pool.mapped_bytes_);
  }
  pool.memory_ = static_cast<std::uint8_t*>(memory);
  pool.links_ = static_cast<std::uint32_t*>(static_cast<void*>(pool.memory_ + chunks * kChunkBytes));
  pool.chunks_ = chunks;
  pool.free_ = chunks;
  return pool;
}

ChunkPool::ChunkPool(ChunkPool&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      links_(other.links_),
      mapped_bytes_(other.mapped_bytes_),
      chunks_(other.chunks_),
      free_(other.free_),
      untouched_(other.untouched_),
      head_(other.head_) {}

ChunkPool::~ChunkPool() {
  if (memory_ != nullptr) ::munmap(memory_, mapped_bytes_);
}

std::uint32_t ChunkPool::take() {
  if (free_ == 0) return kNone;
  --free_;
  std::uint32_t chunk = head_;
  if (chunk != kNone) {
    head_ = links_[chunk];
  } else {
    chunk = static_cast<std::uint32_t>(untouched_++);
  }
  links_[chunk] = kNone;
  return chunk;
}

void ChunkPool::give_back(std::uint32_t chunk) {
  assert(chunk < chunks_);
  links_[chunk] = head_;
  head_ = chunk;
  ++free_;
}

std::size_t ByteQueue::append(ChunkPool& pool, std::span<const iovec> pieces, std::size_t len) {
  std::size_t done = 0;
  for (const iovec& piece : pieces) {
    std::size_t at = 0;
    while (at < piece.iov_len && done < len) {
      if (tail_ == ChunkPool::kNone || tail_used_ == ChunkPool::kChunkBytes) {
        const std::uint32_t chunk = pool.take();
        if (chunk == ChunkPool::kNone) return done;
        if (tail_ == ChunkPool::kNone) {
          head_ = chunk;
          head_offset_ = 0;
        } else {
          pool.next(tail_) = chunk;
        }
        tail_ = chunk;
        tail_used_ = 0;
      }
      const std::size_t n =
          std::min({piece.iov_len - at, len - done, ChunkPool::kChunkBytes - std::size_t{tail_used_}});
      std::memcpy(pool.data(tail_) + tail_used_, static_cast<const std::uint8_t*>(piece.iov_base) + at, n);
      tail_used_ += static_cast<std::uint32_t>(n);
      size_ += n;
      at += n;
      done += n;
    }
  }
  return done;
}

void ByteQueue::drop_front(ChunkPool& pool, std::size_t n) {
  assert(n <= size_);
  size_ -= n;
  while (n != 0) {
    const std::size_t end = head_ == tail_ ? tail_used_ : ChunkPool::kChunkBytes;
    const std::size_t here = std::min(n, end - head_offset_);
    head_offset_ += static_cast<std::uint32_t>(here);
    n -= here;
    if (head_offset_ != end) break;
    const std::uint32_t next = pool.next(head_);
    if (head_ == tail_) tail_ = ChunkPool::kNone;
    pool.give_back(head_);
    head_ = next;
    head_offset_ = 0;
  }
}

std::size_t ByteQueue::view(ChunkPool& pool, std::size_t offset, std::size_t max_bytes,
                            std::span<iovec> out) const {
  assert(offset <= size_);
  std::size_t left = std::min(max_bytes, size_ - offset);
  std::size_t pieces = 0;
  offset += head_offset_;
  for (std::uint32_t chunk = head_; left != 0 && pieces < out.size(); chunk = pool.next(chunk)) {
    if (offset >= ChunkPool::kChunkBytes) {
      offset -= ChunkPool::kChunkBytes;
      continue;
    }
    const std::size_t n = std::min(left, ChunkPool::kChunkBytes - offset);
    out[pieces++] = {pool.data(chunk) + offset, n};
    left -= n;
    offset = 0;
  }
  return pieces;
}

}  // namespace glassbox::net
