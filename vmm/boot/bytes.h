// A block of bytes with an owner, and checked loads from files that may be truncated or hostile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>

namespace glassbox::boot {

using ByteView = std::span<const std::byte>;

// Not a vector, which would zero tens of megabytes that are overwritten next.
class Bytes {
 public:
  Bytes() = default;
  explicit Bytes(std::size_t size) : data_(std::make_unique_for_overwrite<std::byte[]>(size)), size_(size) {}
  [[nodiscard]] std::span<std::byte> span() { return {data_.get(), size_}; }
  [[nodiscard]] ByteView view() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> data_;
  std::size_t size_ = 0;
};

// [offset, offset + len) of bytes, or nothing unless all of it is there.
[[nodiscard]] inline std::optional<ByteView> part(ByteView bytes, std::uint64_t offset, std::uint64_t len) {
  if (offset > bytes.size() || len > bytes.size() - offset) return std::nullopt;
  return bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(len));
}

// A little-endian value at offset.
template <typename T>
[[nodiscard]] std::optional<T> load(ByteView bytes, std::uint64_t offset) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto source = part(bytes, offset, sizeof(T));
  if (!source) return std::nullopt;
  T value;
  std::memcpy(&value, source->data(), sizeof(T));
  return value;
}

}  // namespace glassbox::boot
