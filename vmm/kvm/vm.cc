#include "vmm/kvm/vm.h"

#include <sys/ioctl.h>

#include "vmm/kvm/flex_array.h"

namespace glassbox::kvm {

int Vm::capability(int cap) const {
  const int value = ::ioctl(fd_.get(), KVM_CHECK_EXTENSION, cap);
  return value < 0 ? 0 : value;
}

Status Vm::set_real_mode_pages(GuestPhysAddr identity_map, GuestPhysAddr task_state) {
  __u64 address = identity_map;
  if (::ioctl(fd_.get(), KVM_SET_IDENTITY_MAP_ADDR, &address) != 0) {
    return fail_errno(errno, "KVM_SET_IDENTITY_MAP_ADDR");
  }
  if (::ioctl(fd_.get(), KVM_SET_TSS_ADDR, static_cast<unsigned long>(task_state)) != 0) {
    return fail_errno(errno, "KVM_SET_TSS_ADDR");
  }
  return {};
}

Status Vm::create_irqchip() {
  if (::ioctl(fd_.get(), KVM_CREATE_IRQCHIP, 0) != 0) return fail_errno(errno, "KVM_CREATE_IRQCHIP");
  return {};
}

Status Vm::add_memory(std::uint32_t slot, const GuestMemory::Region& region) {
  kvm_userspace_memory_region kvm_region = {};
  kvm_region.slot = slot;
  kvm_region.guest_phys_addr = region.base;
  kvm_region.memory_size = region.size;
  kvm_region.userspace_addr = reinterpret_cast<std::uintptr_t>(region.host);
  if (::ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &kvm_region) != 0) {
    return fail_errno(errno, "KVM_SET_USER_MEMORY_REGION of {} bytes at {:#x}", region.size, region.base);
  }
  return {};
}

Result<Vcpu> Vm::create_vcpu(unsigned id) {
  UniqueFd fd(::ioctl(fd_.get(), KVM_CREATE_VCPU, static_cast<unsigned long>(id)));
  if (!fd) return fail_errno(errno, "cannot create vCPU {} (KVM_CREATE_VCPU)", id);
  return Vcpu::adopt(std::move(fd), run_size_);
}

Result<kvm_clock_data> Vm::clock() const {
  kvm_clock_data data = {};
  if (::ioctl(fd_.get(), KVM_GET_CLOCK, &data) != 0) return fail_errno(errno, "KVM_GET_CLOCK");
  return data;
}

Status Vm::set_gsi_routing(std::span<const kvm_irq_routing_entry> entries) {
  FlexArray<kvm_irq_routing, kvm_irq_routing_entry> routing(entries);
  routing.header()->nr = static_cast<std::uint32_t>(entries.size());
  if (::ioctl(fd_.get(), KVM_SET_GSI_ROUTING, routing.header()) != 0) {
    return fail_errno(errno, "KVM_SET_GSI_ROUTING with {} entries", entries.size());
  }
  return {};
}

Status Vm::irqfd(int event_fd, unsigned gsi, std::uint32_t flags) {
  kvm_irqfd request = {};
  request.fd = static_cast<std::uint32_t>(event_fd);
  request.gsi = gsi;
  request.flags = flags;
  if (::ioctl(fd_.get(), KVM_IRQFD, &request) != 0) return fail_errno(errno, "KVM_IRQFD for GSI {}", gsi);
  return {};
}

Status Vm::ioeventfd(GuestPhysAddr addr, unsigned len, int event_fd, std::uint32_t flags) {
  kvm_ioeventfd request = {};
  request.addr = addr;
  request.len = len;
  request.fd = event_fd;
  request.flags = flags;
  if (::ioctl(fd_.get(), KVM_IOEVENTFD, &request) != 0) {
    return fail_errno(errno, "KVM_IOEVENTFD at {:#x}, {} bytes", addr, len);
  }
  return {};
}

Status Vm::assign_irqfd(int event_fd, unsigned gsi) {
  return irqfd(event_fd, gsi, 0);
}
Status Vm::deassign_irqfd(int event_fd, unsigned gsi) {
  return irqfd(event_fd, gsi, KVM_IRQFD_FLAG_DEASSIGN);
}
Status Vm::assign_ioeventfd(GuestPhysAddr addr, unsigned len, int event_fd) {
  return ioeventfd(addr, len, event_fd, 0);
}
Status Vm::deassign_ioeventfd(GuestPhysAddr addr, unsigned len, int event_fd) {
  return ioeventfd(addr, len, event_fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

}  // namespace glassbox::kvm
