// A fuzz target is a function of bytes that returns, or aborts if it finds something wrong.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace glassbox::fuzz {

inline void insist(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

// Reads values from an input; beyond its end there are zeros.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
  [[nodiscard]] std::size_t left() const { return left_; }
  [[nodiscard]] bool empty() const { return left_ == 0; }
  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  std::uint16_t be16() {
    const std::uint8_t high = byte();
    return static_cast<std::uint16_t>((high << 8) | byte());
  }
  // The next bytes, at most `count`, copied.
  std::vector<std::uint8_t> bytes(std::size_t count) {
    count = std::min(count, left_);
    std::vector<std::uint8_t> taken(data_, data_ + count);
    data_ += count;
    left_ -= count;
    return taken;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

}  // namespace glassbox::fuzz
