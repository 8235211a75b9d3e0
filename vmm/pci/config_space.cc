#include "vmm/pci/config_space.h"

#include <algorithm>

#include "vmm/base/check.h"

namespace glassbox::pci {

void ConfigSpace::read(unsigned offset, std::span<std::uint8_t> data) const {
  for (std::size_t i = 0; i < data.size(); ++i) {
    const std::size_t at = offset + i;
    data[i] = at < kSize ? bytes_[at] : 0;
  }
}

void ConfigSpace::write(unsigned offset, std::span<const std::uint8_t> data) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    const std::size_t at = offset + i;
    if (at >= kSize) return;
    bytes_[at] = static_cast<std::uint8_t>((bytes_[at] & ~writable_[at]) | (data[i] & writable_[at]));
  }
}

unsigned ConfigSpace::add_capability(std::uint8_t id, std::span<const std::uint8_t> body) {
  const unsigned offset = next_capability_;
  GB_CHECK(offset + 2 + body.size() <= kSize);
  bytes_.at(last_pointer_) = static_cast<std::uint8_t>(offset);
  bytes_.at(offset) = id;
  bytes_.at(offset + 1) = 0;
  std::copy(body.begin(), body.end(), bytes_.begin() + offset + 2);
  last_pointer_ = offset + 1;
  next_capability_ = (offset + 2 + static_cast<unsigned>(body.size()) + 3) & ~3U;  // 32-bit aligned (6.7)
  set<std::uint16_t>(kStatus, static_cast<std::uint16_t>(get<std::uint16_t>(kStatus) | kStatusCapabilities));
  return offset;
}

}  // namespace glassbox::pci
