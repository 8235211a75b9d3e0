// Small helpers over descriptors, shared by both ends of the lab protocol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::lab {

// Bytes that wait for a descriptor to take them. The descriptor is used without blocking: either it is
// O_NONBLOCK, or flush() is called after poll() and writes no more than `limit`.
class Outbox {
 public:
  void push(std::string_view bytes) { bytes_.append(bytes); }
  [[nodiscard]] bool empty() const { return bytes_.size() == taken_; }
  void clear() { bytes_.clear(), taken_ = 0; }
  // Writes as much as the descriptor takes, at most `limit` bytes at once. Returns the number of bytes
  // written; fails if the peer is gone.
  [[nodiscard]] Result<std::size_t> flush(int fd, std::size_t limit);

 private:
  std::string bytes_;
  std::size_t taken_ = 0;
};

// Result of one read: bytes, nothing yet, or the end. An error is an end, too: a terminal that was hung up
// reads EIO.
enum class ReadState : std::uint8_t { kBytes, kNothing, kEnd };
[[nodiscard]] ReadState read_some(int fd, std::size_t limit, std::string& into);

// Blocks the signals in this process and returns a signalfd for them.
[[nodiscard]] Result<UniqueFd> signal_fd(std::initializer_list<int> signals);
[[nodiscard]] Result<std::string> read_token(const std::string& path);

}  // namespace glassbox::lab
