// The PVH boot protocol (Xen's "x86/HVM direct boot ABI", docs/misc/pvh.pandoc): 32-bit protected mode,
// paging off, EBX pointing at hvm_start_info.
#include <cstdint>

#include "vmm/boot/entry.h"
#include "vmm/boot/memory_map.h"
#include "vmm/kvm/tiny_guest.h"
#include "vmm/platform/layout.h"

namespace glassbox::boot {
namespace {

struct StartInfo {
  std::uint32_t magic = 0x336E'C578;  // "xEn3" with the top bit of the E set
  std::uint32_t version = 1;          // 1: with memory map
  std::uint32_t flags = 0;
  std::uint32_t module_count = 0;
  std::uint64_t modules = 0;
  std::uint64_t command_line = 0;
  std::uint64_t rsdp = 0;
  std::uint64_t memory_map = 0;
  std::uint32_t memory_map_entries = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(StartInfo) == 56);

struct Module {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::uint64_t command_line = 0;
  std::uint64_t reserved = 0;
};
static_assert(sizeof(Module) == 32);

struct MapEntry {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::uint32_t type = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(MapEntry) == 24);

constexpr GuestPhysAddr kModule = layout::kPvhStartInfo + sizeof(StartInfo);
constexpr GuestPhysAddr kMap = kModule + sizeof(Module);

}  // namespace

Status write_pvh(const Handover& handover, const GuestMemory& memory) {
  StartInfo info;
  info.command_line = layout::kCommandLine;
  info.rsdp = handover.rsdp;
  bool written = true;
  if (handover.initrd) {
    info.module_count = 1;
    info.modules = kModule;
    written = memory.write(kModule, Module{handover.initrd->address, handover.initrd->size, 0, 0});
  }
  info.memory_map = kMap;
  for (const MemoryMapEntry& entry : memory_map(memory)) {
    const GuestPhysAddr at = kMap + info.memory_map_entries++ * sizeof(MapEntry);
    written = written &&
              memory.write(at, MapEntry{entry.base, entry.size, static_cast<std::uint32_t>(entry.type), 0});
  }
  written = written && memory.write(layout::kPvhStartInfo, info);
  if (!written) return fail("guest memory is too small to boot from");
  return {};
}

Status set_pvh_registers(const Handover& handover, kvm::Vcpu& vcpu) {
  GB_TRY(kvm::set_flat_protected_mode(vcpu, static_cast<std::uint32_t>(handover.kernel.entry)));
  GB_ASSIGN(kvm_regs regs, vcpu.regs());
  regs.rbx = layout::kPvhStartInfo;
  regs.rsp = 0;
  return vcpu.set_regs(regs);
}

}  // namespace glassbox::boot
