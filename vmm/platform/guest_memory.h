// Guest physical memory as the monitor sees it. Every address and length here may come from a hostile guest,
// so memory is reached only through a checked slice: no code outside this file adds a guest's number to a
// pointer.
//
// The guest may change memory at any time: copy a structure once (read/load), then check and use the copy.
//
// Thread: any; the mapping is fixed before the first vCPU runs and freed after the last thread ended.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox {

using GuestPhysAddr = std::uint64_t;

class GuestMemory {
 public:
  // A contiguous range of guest RAM backed by host memory at `host`.
  struct Region {
    GuestPhysAddr base;
    std::uint64_t size;
    std::byte* host;
  };

  // Anonymous memory for `size` bytes of RAM; split around the PCI hole when it exceeds kHoleStart.
  static constexpr GuestPhysAddr kHoleStart = 0xC000'0000;
  static constexpr GuestPhysAddr kHoleEnd = 0x1'0000'0000;
  [[nodiscard]] static Result<GuestMemory> create(std::uint64_t size_bytes);

  GuestMemory(GuestMemory&& other) noexcept : regions_(std::move(other.regions_)) { other.regions_.clear(); }
  GuestMemory& operator=(GuestMemory&&) = delete;
  GuestMemory(const GuestMemory&) = delete;
  ~GuestMemory();

  [[nodiscard]] std::span<const Region> regions() const { return regions_; }

  // The host bytes of [addr, addr + len), or nothing unless all of it lies in one region (overflow included).
  [[nodiscard]] std::optional<std::span<std::byte>> slice(GuestPhysAddr addr, std::uint64_t len) const {
    for (const Region& region : regions_) {
      if (addr >= region.base && addr - region.base <= region.size &&
          len <= region.size - (addr - region.base)) {
        return std::span<std::byte>(region.host + (addr - region.base), static_cast<std::size_t>(len));
      }
    }
    return std::nullopt;
  }

  // Copies a plain structure out of guest memory, once.
  template <typename T>
  [[nodiscard]] std::optional<T> read(GuestPhysAddr addr) const {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto bytes = slice(addr, sizeof(T));
    if (!bytes) return std::nullopt;
    T value;
    std::memcpy(&value, bytes->data(), sizeof(T));
    return value;
  }

  template <typename T>
  [[nodiscard]] bool write(GuestPhysAddr addr, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto bytes = slice(addr, sizeof(T));
    if (!bytes) return false;
    std::memcpy(bytes->data(), &value, sizeof(T));
    return true;
  }

 private:
  GuestMemory() = default;
  std::vector<Region> regions_;
};

}  // namespace glassbox
