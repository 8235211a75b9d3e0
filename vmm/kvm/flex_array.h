// Storage for KVM's "count, then entries" structures (kvm_cpuid2, kvm_msrs, kvm_irq_routing).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>

namespace glassbox::kvm {

template <typename Header, typename Entry>
class FlexArray {
 public:
  explicit FlexArray(std::size_t count)
      : storage_(std::make_unique<std::byte[]>(sizeof(Header) + count * sizeof(Entry))), count_(count) {}
  explicit FlexArray(std::span<const Entry> source) : FlexArray(source.size()) {
    std::copy(source.begin(), source.end(), entries().begin());
  }

  [[nodiscard]] Header* header() { return reinterpret_cast<Header*>(storage_.get()); }
  [[nodiscard]] std::span<Entry> entries() {
    return {reinterpret_cast<Entry*>(storage_.get() + sizeof(Header)), count_};
  }

 private:
  static_assert(std::is_trivially_copyable_v<Header> && std::is_trivially_copyable_v<Entry>);
  static_assert(alignof(Entry) <= alignof(std::max_align_t) && sizeof(Header) % alignof(Entry) == 0);
  std::unique_ptr<std::byte[]> storage_;  // new[] of bytes is aligned for any fundamental type
  std::size_t count_;
};

}  // namespace glassbox::kvm
