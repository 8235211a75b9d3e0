#include "vmm/pci/msix.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "vmm/base/io.h"

namespace glassbox::pci {
namespace {

constexpr std::uint32_t kVectorMasked = 1;
constexpr unsigned kWordsPerEntry = MsixTable::kEntrySize / 4;

bool well_formed(std::uint64_t offset, std::size_t size) {
  return (size == 4 || size == 8) && offset % size == 0;
}

}  // namespace

std::array<std::uint8_t, 10> msix_capability(unsigned vectors, unsigned bar, std::uint32_t table_offset,
                                             std::uint32_t pending_offset) {
  std::array<std::uint8_t, 10> body{};
  const auto control = static_cast<std::uint16_t>(vectors - 1);  // table size, N-1 encoded
  const std::uint32_t table = table_offset | bar;
  const std::uint32_t pending = pending_offset | bar;
  std::memcpy(&body[0], &control, sizeof(control));
  std::memcpy(&body[2], &table, sizeof(table));
  std::memcpy(&body[6], &pending, sizeof(pending));
  return body;
}

Result<std::unique_ptr<MsixTable>> MsixTable::create(VmServices& vm, OwnerThread& owner, unsigned vectors) {
  assert(vectors >= 1 && vectors <= kMaxVectors);
  std::unique_ptr<MsixTable> table(new MsixTable(vm, owner));
  table->vectors_.resize(vectors);
  for (Vector& vector : table->vectors_) {
    vector.event = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!vector.event) return fail_errno(errno, "msi-x: eventfd");
    GB_ASSIGN(vector.gsi, vm.alloc_gsi());
  }
  return table;
}

MsixTable::~MsixTable() {
  for (Vector& vector : vectors_) {
    if (vector.routed) vm_.deassign_irqfd(vector.event.get(), vector.gsi);
  }
}

bool MsixTable::deliverable(unsigned index) const {
  return enabled_ && !all_masked_ && index < vectors_.size() && vectors_[index].routed &&
         (vectors_[index].control & kVectorMasked) == 0;
}

bool MsixTable::raise(unsigned index) {
  if (!enabled_ || index >= vectors_.size()) return false;
  if (!deliverable(index)) {
    vectors_[index].pending = true;
    return false;
  }
  signal_event(vectors_[index].event.get());
  return true;
}

// If the vector is unmasked: makes its route match the registers and delivers a pending interrupt.
void MsixTable::update(Vector& vector) {
  if (!enabled_ || all_masked_ || (vector.control & kVectorMasked) != 0) return;
  const MsiMessage message{(std::uint64_t{vector.address_high} << 32) | vector.address_low, vector.data};
  if (!vector.routed || vector.route != message) {
    if (!vm_.set_msi(vector.gsi, message)) return silence(vector);  // KVM refuses the message
    if (!vector.routed && !vm_.assign_irqfd(vector.event.get(), vector.gsi)) return;
    vector.routed = true;
    vector.route = message;
  }
  if (vector.pending) {
    vector.pending = false;
    signal_event(vector.event.get());
  }
}

// KVM refused the new message: the old one must not be sent in its place.
void MsixTable::silence(Vector& vector) {
  if (!std::exchange(vector.routed, false)) return;
  vm_.deassign_irqfd(vector.event.get(), vector.gsi);
}

void MsixTable::set_control(std::uint16_t control) {
  owner_.post_and_wait([this, control] {
    const bool enabled = (control & kControlEnable) != 0;
    if (!enabled && enabled_) {
      for (Vector& vector : vectors_)
        vector.pending = false;
    }
    enabled_ = enabled;
    all_masked_ = (control & kControlMaskAll) != 0;
    for (Vector& vector : vectors_)
      update(vector);
  });
}

void MsixTable::write_word(std::uint64_t word, std::uint32_t value) {
  if (word / kWordsPerEntry >= vectors_.size()) return;
  Vector& vector = vectors_[word / kWordsPerEntry];
  switch (word % kWordsPerEntry) {
    case 0:
      vector.address_low = value & ~3U;
      break;
    case 1:
      vector.address_high = value;
      break;
    case 2:
      vector.data = value;
      break;
    default:
      vector.control = value & kVectorMasked;
      break;
  }
}

std::uint32_t MsixTable::read_word(std::uint64_t word) const {
  if (word / kWordsPerEntry >= vectors_.size()) return 0;
  const Vector& vector = vectors_[word / kWordsPerEntry];
  switch (word % kWordsPerEntry) {
    case 0:
      return vector.address_low;
    case 1:
      return vector.address_high;
    case 2:
      return vector.data;
    default:
      return vector.control;
  }
}

void MsixTable::table_write(std::uint64_t offset, std::span<const std::uint8_t> data) {
  if (!well_formed(offset, data.size())) return;
  owner_.post_and_wait([this, offset, data] {
    for (std::size_t at = 0; at < data.size(); at += 4) {
      std::uint32_t value = 0;
      std::memcpy(&value, data.data() + at, sizeof(value));
      write_word((offset + at) / 4, value);
    }
    // An aligned access of at most 8 bytes lies within one entry.
    if (const auto index = offset / kEntrySize; index < vectors_.size()) update(vectors_[index]);
  });
}

void MsixTable::table_read(std::uint64_t offset, std::span<std::uint8_t> data) {
  std::fill(data.begin(), data.end(), std::uint8_t{0});
  if (!well_formed(offset, data.size())) return;
  owner_.post_and_wait([this, offset, data] {
    for (std::size_t at = 0; at < data.size(); at += 4) {
      const std::uint32_t value = read_word((offset + at) / 4);
      std::memcpy(data.data() + at, &value, sizeof(value));
    }
  });
}

void MsixTable::pending_read(std::uint64_t offset, std::span<std::uint8_t> data) {
  std::fill(data.begin(), data.end(), std::uint8_t{0});
  if (!well_formed(offset, data.size()) || offset >= 8) return;
  owner_.post_and_wait([this, offset, data] {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < vectors_.size(); ++i)
      bits |= std::uint64_t{vectors_[i].pending} << i;
    bits >>= 8 * offset;
    std::memcpy(data.data(), &bits, data.size());
  });
}

}  // namespace glassbox::pci
