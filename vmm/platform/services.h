// The interface between a device and its machine, in both directions. vmm/machine implements VmServices on
// KVM, tests implement it without. Devices know nothing else of KVM.
#pragma once

#include <cstdint>
#include <span>

#include "vmm/base/result.h"
#include "vmm/platform/guest_memory.h"

namespace glassbox {

// A memory- or port-mapped device register block. Called on the vCPU's thread, in its exit handler; offset is
// from the start of the block and offset + data.size() never exceeds the block. Sizes 1, 2, 4, 8.
class IoHandler {
 public:
  virtual ~IoHandler() = default;
  virtual void io_read(unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) = 0;
  virtual void io_write(unsigned vcpu, std::uint64_t offset, std::span<const std::uint8_t> data) = 0;
};

struct MsiMessage {
  std::uint64_t address = 0;
  std::uint32_t data = 0;
  friend bool operator==(const MsiMessage&, const MsiMessage&) = default;
};

// KVM's own word about the guest's clocks. It only cross-checks what a trace proves: some KVMs accept an
// offset and ignore it, so nothing may be computed from it.
struct KvmClocks {
  int offset_error = 0;          // errno if KVM does not give the offset, else 0
  std::uint64_t tsc_offset = 0;  // guest's counter less the host's
  int clock_error = 0;
  std::uint32_t clock_flags = 0;  // KVM_CLOCK_*
  std::uint64_t clock_ns = 0;
  std::uint64_t clock_tsc = 0;  // the host's counter at clock_ns; 0 if KVM does not give it
};

class VmServices {
 public:
  virtual ~VmServices() = default;

  [[nodiscard]] virtual const GuestMemory& memory() const = 0;

  // Interrupts. A GSI is a slot of the routing table; set_msi() points it at a message, assign_irqfd() lets
  // an eventfd trigger it (the eventfd stays owned by the caller). Thread-safe.
  [[nodiscard]] virtual Result<unsigned> alloc_gsi() = 0;
  [[nodiscard]] virtual Status set_msi(unsigned gsi, const MsiMessage& message) = 0;
  [[nodiscard]] virtual Status assign_irqfd(int event_fd, unsigned gsi) = 0;
  // Undoes assign_irqfd(). Fails only if it is not assigned, so its assigner may ignore the result.
  virtual Status deassign_irqfd(int event_fd, unsigned gsi) = 0;

  // A guest store of any value and `len` bytes to guest physical address `addr` signals event_fd inside KVM,
  // without an exit to the monitor; where KVM prefers that, a store of any length does. Thread-safe; undone
  // when a BAR moves.
  [[nodiscard]] virtual Status assign_ioeventfd(GuestPhysAddr addr, unsigned len, int event_fd) = 0;
  // As deassign_irqfd(): the assigner may ignore the result.
  virtual Status deassign_ioeventfd(GuestPhysAddr addr, unsigned len, int event_fd) = 0;

  // Maps a register block into guest physical space (a BAR was programmed) and takes it out again. After
  // unmap() returns no vCPU is inside the handler. Thread: vCPU or start-up. Fails on overlap.
  [[nodiscard]] virtual Status map_mmio(GuestPhysAddr base, std::uint64_t size, IoHandler* handler) = 0;
  virtual void unmap_mmio(GuestPhysAddr base) = 0;
  [[nodiscard]] virtual Status map_pio(std::uint16_t base, std::uint16_t size, IoHandler* handler) = 0;

  // Thread: that vCPU's, in its exit handler. Costs two system calls.
  [[nodiscard]] virtual KvmClocks kvm_clocks(unsigned vcpu) = 0;

  // The guest asked to be powered off (S5) or reset. Thread-safe; the machine ends soon after.
  virtual void request_power_off() = 0;
  virtual void request_reset() = 0;
};

}  // namespace glassbox
