// Scatter-gather helpers: copying out of and into iovec lists, and a slice of one that can be narrowed.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace glassbox::net {

[[nodiscard]] inline std::size_t iov_bytes(std::span<const iovec> iov) {
  std::size_t total = 0;
  for (const iovec& piece : iov)
    total += piece.iov_len;
  return total;
}

// Copies up to len bytes from the start of iov; returns how many there were.
inline std::size_t iov_gather(std::span<const iovec> iov, void* to, std::size_t len) {
  std::size_t done = 0;
  for (const iovec& piece : iov) {
    if (done == len) break;
    const std::size_t n = std::min(piece.iov_len, len - done);
    if (n != 0) std::memcpy(static_cast<std::uint8_t*>(to) + done, piece.iov_base, n);
    done += n;
  }
  return done;
}

inline std::size_t iov_scatter(std::span<const iovec> iov, const void* from, std::size_t len) {
  std::size_t done = 0;
  for (const iovec& piece : iov) {
    if (done == len) break;
    const std::size_t n = std::min(piece.iov_len, len - done);
    if (n != 0) std::memcpy(piece.iov_base, static_cast<const std::uint8_t*>(from) + done, n);
    done += n;
  }
  return done;
}

// A part of an iovec list, in storage of its own. Large: lives in the NAT, not on the stack.
class IovSlice {
 public:
  static constexpr std::size_t kMaxPieces = 1024;  // UIO_MAXIOV

  // The bytes [skip, skip + max_bytes) of iov, or as many as there are in at most kMaxPieces pieces.
  void assign(std::span<const iovec> iov, std::size_t skip, std::size_t max_bytes) {
    first_ = 0;
    count_ = 0;
    bytes_ = 0;
    for (const iovec& piece : iov) {
      if (bytes_ == max_bytes || count_ == kMaxPieces) break;
      if (skip >= piece.iov_len) {
        skip -= piece.iov_len;
        continue;
      }
      const std::size_t n = std::min(piece.iov_len - skip, max_bytes - bytes_);
      pieces_[count_++] = {static_cast<std::uint8_t*>(piece.iov_base) + skip, n};
      bytes_ += n;
      skip = 0;
    }
  }

  void drop_front(std::size_t n) {
    n = std::min(n, bytes_);
    bytes_ -= n;
    while (n != 0) {
      iovec& piece = pieces_[first_];
      if (n < piece.iov_len) {
        piece.iov_base = static_cast<std::uint8_t*>(piece.iov_base) + n;
        piece.iov_len -= n;
        return;
      }
      n -= piece.iov_len;
      ++first_;
      --count_;
    }
  }

  void truncate(std::size_t n) {
    if (n >= bytes_) return;
    bytes_ = n;
    std::size_t kept = 0;
    while (n != 0) {
      iovec& piece = pieces_[first_ + kept++];
      piece.iov_len = std::min(piece.iov_len, n);
      n -= piece.iov_len;
    }
    count_ = kept;
  }

  [[nodiscard]] std::span<iovec> span() { return std::span(pieces_).subspan(first_, count_); }
  [[nodiscard]] std::span<const iovec> span() const { return std::span(pieces_).subspan(first_, count_); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::array<iovec, kMaxPieces> pieces_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace glassbox::net
