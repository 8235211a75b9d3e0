// VmServices on top of KVM: the devices' view of the machine.
#pragma once

#include <functional>
#include <memory>

#include "vmm/kvm/io_bus.h"
#include "vmm/kvm/irq_routing.h"
#include "vmm/kvm/vm.h"
#include "vmm/platform/services.h"

namespace glassbox {

class MachineServices : public VmServices {
 public:
  struct Requests {
    std::function<void()> power_off;
    std::function<void()> reset;
    std::function<kvm::Vcpu&(unsigned index)> vcpu;
  };
  MachineServices(std::shared_ptr<const GuestMemory> memory, kvm::Vm vm, Requests requests)
      : memory_(std::move(memory)),
        vm_(std::move(vm)),
        routing_(vm_),
        any_length_(vm_.capability(KVM_CAP_IOEVENTFD_ANY_LENGTH) != 0),
        requests_(std::move(requests)) {}

  [[nodiscard]] kvm::Vm& vm() { return vm_; }
  [[nodiscard]] kvm::IrqRouting& routing() { return routing_; }
  [[nodiscard]] kvm::IoBus& mmio() { return mmio_; }
  [[nodiscard]] kvm::IoBus& ports() { return ports_; }

  [[nodiscard]] const GuestMemory& memory() const override { return *memory_; }
  [[nodiscard]] Result<unsigned> alloc_gsi() override { return routing_.alloc_gsi(); }
  [[nodiscard]] Status set_msi(unsigned gsi, const MsiMessage& message) override {
    return routing_.set_msi(gsi, message);
  }
  [[nodiscard]] Status assign_irqfd(int event_fd, unsigned gsi) override {
    return vm_.assign_irqfd(event_fd, gsi);
  }
  Status deassign_irqfd(int event_fd, unsigned gsi) override { return vm_.deassign_irqfd(event_fd, gsi); }
  [[nodiscard]] Status assign_ioeventfd(GuestPhysAddr addr, unsigned len, int event_fd) override {
    return vm_.assign_ioeventfd(addr, doorbell_length(len), event_fd);
  }
  Status deassign_ioeventfd(GuestPhysAddr addr, unsigned len, int event_fd) override {
    return vm_.deassign_ioeventfd(addr, doorbell_length(len), event_fd);
  }
  [[nodiscard]] Status map_mmio(GuestPhysAddr base, std::uint64_t size, IoHandler* handler) override;
  void unmap_mmio(GuestPhysAddr base) override { mmio_.remove(base); }
  [[nodiscard]] Status map_pio(std::uint16_t base, std::uint16_t size, IoHandler* handler) override {
    return ports_.add(base, size, handler);
  }
  [[nodiscard]] KvmClocks kvm_clocks(unsigned vcpu) override;
  void request_power_off() override { requests_.power_off(); }
  void request_reset() override { requests_.reset(); }

 private:
  // 0, any length, where KVM has it: VMX then finds the doorbell by its address alone and decodes no
  // instruction (KVM's fast MMIO bus).
  [[nodiscard]] unsigned doorbell_length(unsigned len) const { return any_length_ ? 0 : len; }

  // Order matters: guest memory must be unmapped only after KVM has released it.
  std::shared_ptr<const GuestMemory> memory_;
  kvm::Vm vm_;
  kvm::IrqRouting routing_;
  const bool any_length_;
  kvm::IoBus mmio_{"memory"};
  kvm::IoBus ports_{"port"};
  Requests requests_;
};

}  // namespace glassbox
