// One virtual machine of KVM: a thin, typed layer over its ioctls, with errors that name them.
//
// Thread: any; KVM serialises.
#pragma once

#include <cstdint>
#include <span>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/platform/guest_memory.h"

namespace glassbox::kvm {

class Vm {
 public:
  Vm(UniqueFd fd, std::size_t run_size) : fd_(std::move(fd)), run_size_(run_size) {}

  [[nodiscard]] int capability(int cap) const;

  // The pages that VMX without "unrestricted guest" needs for real mode. Call it before the first vCPU.
  [[nodiscard]] Status set_real_mode_pages(GuestPhysAddr identity_map, GuestPhysAddr task_state);
  // PIC, I/O APIC and a local APIC per vCPU, all in the kernel. Call it before the first vCPU.
  [[nodiscard]] Status create_irqchip();
  [[nodiscard]] Status add_memory(std::uint32_t slot, const GuestMemory::Region& region);
  [[nodiscard]] Result<Vcpu> create_vcpu(unsigned id);

  // KVM_GET_CLOCK.
  [[nodiscard]] Result<kvm_clock_data> clock() const;

  // Replaces the whole routing table.
  [[nodiscard]] Status set_gsi_routing(std::span<const kvm_irq_routing_entry> entries);
  [[nodiscard]] Status assign_irqfd(int event_fd, unsigned gsi);
  [[nodiscard]] Status deassign_irqfd(int event_fd, unsigned gsi);
  // Any value written to [addr, addr + len) signals event_fd.
  [[nodiscard]] Status assign_ioeventfd(GuestPhysAddr addr, unsigned len, int event_fd);
  [[nodiscard]] Status deassign_ioeventfd(GuestPhysAddr addr, unsigned len, int event_fd);

 private:
  Status irqfd(int event_fd, unsigned gsi, std::uint32_t flags);
  Status ioeventfd(GuestPhysAddr addr, unsigned len, int event_fd, std::uint32_t flags);

  UniqueFd fd_;
  std::size_t run_size_;
};

}  // namespace glassbox::kvm
