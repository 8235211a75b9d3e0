// MSI-X (PCI 3.0, 6.8.2): a table of vectors, each a message and a mask bit, and the pending bit array.
//
// Theory of operation: each vector has an eventfd that KVM turns into the vector's message (irqfd), so that
// raising an interrupt is one write() and no exit. The route of a vector is programmed when the vector is
// unmasked, and only if its message has changed: reprogramming costs KVM a grace period. A masked vector that
// is raised sets its pending bit and fires when it is unmasked.
//
// Thread: one owner, given at creation; it alone touches the state and calls raise(). The register accessors
// are called on vCPU threads and run on the owner while the caller waits. So once a guest's write to a mask
// bit has completed, no interrupt of that vector can follow.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "vmm/base/owner_thread.h"
#include "vmm/base/unique_fd.h"
#include "vmm/platform/services.h"

namespace glassbox::pci {

// The body of the MSI-X capability: message control (offset 2), table and pending bits, both in BAR `bar`.
[[nodiscard]] std::array<std::uint8_t, 10> msix_capability(unsigned vectors, unsigned bar,
                                                           std::uint32_t table_offset,
                                                           std::uint32_t pending_offset);

class MsixTable {
 public:
  static constexpr unsigned kEntrySize = 16;
  static constexpr unsigned kMaxVectors = 64;  // one 64-bit word of pending bits
  static constexpr std::uint16_t kControlEnable = 1U << 15;
  static constexpr std::uint16_t kControlMaskAll = 1U << 14;

  [[nodiscard]] static Result<std::unique_ptr<MsixTable>> create(VmServices& vm, OwnerThread& owner,
                                                                 unsigned vectors);
  ~MsixTable();

  [[nodiscard]] unsigned vectors() const { return static_cast<unsigned>(vectors_.size()); }

  // Owner thread. False if no interrupt was sent: masked (now pending), MSI-X off, no such vector.
  bool raise(unsigned vector);
  // Owner thread. Whether raise() would interrupt the guest now.
  [[nodiscard]] bool deliverable(unsigned vector) const;

  // vCPU threads: the message control register was written; the table and the pending bits are accessed.
  // Accesses are 4 or 8 bytes, aligned (6.8.2); others read zero and write nothing.
  void set_control(std::uint16_t control);
  void table_read(std::uint64_t offset, std::span<std::uint8_t> data);
  void table_write(std::uint64_t offset, std::span<const std::uint8_t> data);
  void pending_read(std::uint64_t offset, std::span<std::uint8_t> data);

 private:
  struct Vector {
    std::uint32_t address_low = 0;
    std::uint32_t address_high = 0;
    std::uint32_t data = 0;
    std::uint32_t control = 1;  // bit 0: masked, as after reset
    bool pending = false;
    bool routed = false;  // the irqfd is assigned, and stands for `route`
    MsiMessage route;
    unsigned gsi = 0;
    UniqueFd event;
  };

  MsixTable(VmServices& vm, OwnerThread& owner) : vm_(vm), owner_(owner) {}
  void write_word(std::uint64_t word, std::uint32_t value);
  [[nodiscard]] std::uint32_t read_word(std::uint64_t word) const;
  void update(Vector& vector);
  void silence(Vector& vector);

  VmServices& vm_;
  OwnerThread& owner_;
  bool enabled_ = false;
  bool all_masked_ = false;
  std::vector<Vector> vectors_;
};

}  // namespace glassbox::pci
