// A guest without an operating system: one vCPU in flat 32-bit protected mode, paging off, running code that
// was assembled by hand. It measures KVM (usability.cc) and tests devices on machines where Linux would be
// too slow.
//
// The caller adds an interrupt chip and devices through vm(), before run.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "vmm/base/result.h"
#include "vmm/kvm/kvm.h"
#include "vmm/platform/guest_memory.h"

namespace glassbox::kvm {

// Puts a vCPU into flat 32-bit ring 0 with interrupts off, its next instruction at `entry`, its stack below
// it.
[[nodiscard]] Status set_flat_protected_mode(Vcpu& vcpu, std::uint32_t entry);

class TinyGuest {
 public:
  static constexpr GuestPhysAddr kEntry = 0x1000;
  static constexpr std::uint64_t kMemorySize = 2 << 20;

  [[nodiscard]] static Result<std::unique_ptr<TinyGuest>> create(const Kvm& kvm,
                                                                 std::span<const std::uint8_t> code);
  [[nodiscard]] Vcpu& vcpu() { return vcpu_; }

 private:
  TinyGuest(GuestMemory memory, Vm vm, Vcpu vcpu)
      : memory_(std::move(memory)), vm_(std::move(vm)), vcpu_(std::move(vcpu)) {}
  GuestMemory memory_;
  Vm vm_;
  Vcpu vcpu_;
};

}  // namespace glassbox::kvm
