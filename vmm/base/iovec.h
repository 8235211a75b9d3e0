// Scatter-gather lists (struct iovec, readv(2)): copying out of and into them, and cutting them.
//
// The functions cut a list that the caller owns and change its elements in place; IovSlice cuts a list that
// must stay as it is. Nothing here allocates or checks addresses: every element must be memory that may be
// accessed.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace glassbox {

[[nodiscard]] inline std::size_t iov_bytes(std::span<const iovec> list) {
  std::size_t total = 0;
  for (const iovec& piece : list)
    total += piece.iov_len;
  return total;
}

// Copies up to len bytes from the front of the list; returns how many there were.
inline std::size_t iov_gather(std::span<const iovec> list, void* to, std::size_t len) {
  std::size_t done = 0;
  for (const iovec& piece : list) {
    if (done == len) break;
    const std::size_t n = std::min(piece.iov_len, len - done);
    if (n != 0) std::memcpy(static_cast<std::uint8_t*>(to) + done, piece.iov_base, n);
    done += n;
  }
  return done;
}
inline std::size_t iov_gather(std::span<const iovec> list, std::span<std::byte> to) {
  return iov_gather(list, to.data(), to.size());
}

// Copies up to len bytes to the front of the list; returns how many found room.
inline std::size_t iov_scatter(std::span<const iovec> list, const void* from, std::size_t len) {
  std::size_t done = 0;
  for (const iovec& piece : list) {
    if (done == len) break;
    const std::size_t n = std::min(piece.iov_len, len - done);
    if (n != 0) std::memcpy(piece.iov_base, static_cast<const std::uint8_t*>(from) + done, n);
    done += n;
  }
  return done;
}
inline std::size_t iov_scatter(std::span<const iovec> list, std::span<const std::byte> from) {
  return iov_scatter(list, from.data(), from.size());
}

// The list without its first n bytes (empty if it has fewer). Changes the element that n falls into.
[[nodiscard]] inline std::span<iovec> iov_drop_front(std::span<iovec> list, std::size_t n) {
  while (!list.empty() && n >= list.front().iov_len) {
    n -= list.front().iov_len;
    list = list.subspan(1);
  }
  if (!list.empty() && n != 0) {
    list.front().iov_base = static_cast<std::uint8_t*>(list.front().iov_base) + n;
    list.front().iov_len -= n;
  }
  return list;
}

// The list cut to its first n bytes (all of it if it has fewer). Changes the element that n falls into.
[[nodiscard]] inline std::span<iovec> iov_keep_front(std::span<iovec> list, std::size_t n) {
  std::size_t count = 0;
  while (count < list.size() && n != 0) {
    list[count].iov_len = std::min(list[count].iov_len, n);
    n -= list[count].iov_len;
    ++count;
  }
  return list.first(count);
}

// A part of a list, in storage of its own: the list itself is not changed. 16 KiB: a member of a long-lived
// object, never a local variable.
class IovSlice {
 public:
  static constexpr std::size_t kMaxPieces = 1024;  // UIO_MAXIOV

  IovSlice() = default;
  IovSlice(const IovSlice&) = delete;  // span() points into the object
  IovSlice& operator=(const IovSlice&) = delete;

  // The bytes [skip, skip + max_bytes) of the list, or as many as there are in at most kMaxPieces pieces.
  void assign(std::span<const iovec> list, std::size_t skip, std::size_t max_bytes) {
    std::size_t count = 0;
    bytes_ = 0;
    for (const iovec& piece : list) {
      if (bytes_ == max_bytes || count == kMaxPieces) break;
      if (skip >= piece.iov_len) {
        skip -= piece.iov_len;
        continue;
      }
      const std::size_t n = std::min(piece.iov_len - skip, max_bytes - bytes_);
      pieces_[count++] = {static_cast<std::uint8_t*>(piece.iov_base) + skip, n};
      bytes_ += n;
      skip = 0;
    }
    part_ = std::span(pieces_).first(count);
  }

  void drop_front(std::size_t n) {
    bytes_ -= std::min(n, bytes_);
    part_ = iov_drop_front(part_, n);
  }

  void truncate(std::size_t n) {
    if (n >= bytes_) return;
    bytes_ = n;
    part_ = iov_keep_front(part_, n);
  }

  [[nodiscard]] std::span<iovec> span() { return part_; }
  [[nodiscard]] std::span<const iovec> span() const { return part_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::array<iovec, kMaxPieces> pieces_;
  std::span<iovec> part_;
  std::size_t bytes_ = 0;
};

}  // namespace glassbox
