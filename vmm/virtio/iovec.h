// Small operations on scatter-gather lists whose every element was checked to lie in guest memory.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

namespace glassbox::virtio {

// Copies up to to.size() bytes from the front of the list; returns how many there were.
inline std::size_t copy_from(std::span<const iovec> list, std::span<std::byte> to) {
  std::size_t done = 0;
  for (const iovec& part : list) {
    if (done == to.size()) break;
    const std::size_t n = std::min(part.iov_len, to.size() - done);
    std::memcpy(to.data() + done, part.iov_base, n);
    done += n;
  }
  return done;
}

// Copies up to from.size() bytes to the front of the list; returns how many found room.
inline std::size_t copy_to(std::span<const iovec> list, std::span<const std::byte> from) {
  std::size_t done = 0;
  for (const iovec& part : list) {
    if (done == from.size()) break;
    const std::size_t n = std::min(part.iov_len, from.size() - done);
    std::memcpy(part.iov_base, from.data() + done, n);
    done += n;
  }
  return done;
}

// The list without its first n bytes (all of it, if it has fewer). Changes the element that n falls into.
inline std::span<iovec> drop_front(std::span<iovec> list, std::size_t n) {
  while (!list.empty() && n >= list.front().iov_len) {
    n -= list.front().iov_len;
    list = list.subspan(1);
  }
  if (!list.empty() && n != 0) {
    list.front().iov_base = static_cast<std::byte*>(list.front().iov_base) + n;
    list.front().iov_len -= n;
  }
  return list;
}

// The list cut to its first n bytes. Changes the element that n falls into.
inline std::span<iovec> keep_front(std::span<iovec> list, std::size_t n) {
  std::size_t count = 0;
  while (count < list.size() && n != 0) {
    list[count].iov_len = std::min(list[count].iov_len, n);
    n -= list[count].iov_len;
    ++count;
  }
  return list.first(count);
}

inline std::size_t total_bytes(std::span<const iovec> list) {
  std::size_t sum = 0;
  for (const iovec& part : list)
    sum += part.iov_len;
  return sum;
}

}  // namespace glassbox::virtio
