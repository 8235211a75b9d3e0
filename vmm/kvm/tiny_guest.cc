#include "vmm/kvm/tiny_guest.h"

#include <algorithm>

#include "vmm/platform/layout.h"

namespace glassbox::kvm {

Status set_flat_protected_mode(Vcpu& vcpu, std::uint32_t entry) {
  GB_ASSIGN(kvm_sregs sregs, vcpu.sregs());
  kvm_segment code = {};
  code.limit = 0xFFFF'FFFF;
  code.selector = 0x08;
  code.type = 0xB;  // execute, read, accessed
  code.present = 1;
  code.db = 1;
  code.s = 1;
  code.g = 1;
  kvm_segment data = code;
  data.selector = 0x10;
  data.type = 0x3;  // read, write, accessed
  kvm_segment task = {};
  task.limit = 0x67;
  task.type = 0xB;  // busy 32-bit TSS
  task.present = 1;
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.tr = task;
  sregs.cr0 = 0x1;  // PE
  sregs.cr4 = 0;
  GB_TRY(vcpu.set_sregs(sregs));
  kvm_regs regs = {};
  regs.rip = entry;
  regs.rsp = entry;
  regs.rflags = 0x2;
  return vcpu.set_regs(regs);
}

Result<std::unique_ptr<TinyGuest>> TinyGuest::create(const Kvm& kvm, std::span<const std::uint8_t> code) {
  GB_ASSIGN(GuestMemory memory, GuestMemory::create(kMemorySize));
  const auto room = memory.slice(kEntry, code.size());
  if (!room) return fail("a tiny guest has no room for {} bytes of code", code.size());
  std::transform(code.begin(), code.end(), room->begin(), [](std::uint8_t byte) { return std::byte{byte}; });
  GB_ASSIGN(Vm vm, kvm.create_vm());
  GB_TRY(vm.set_real_mode_pages(layout::kIdentityMapPage, layout::kTaskStatePages));
  GB_TRY(vm.add_memory(0, memory.regions().front()));
  GB_ASSIGN(Vcpu vcpu, vm.create_vcpu(0));
  GB_TRY(set_flat_protected_mode(vcpu, kEntry));
  return std::unique_ptr<TinyGuest>(new TinyGuest(std::move(memory), std::move(vm), std::move(vcpu)));
}

}  // namespace glassbox::kvm
