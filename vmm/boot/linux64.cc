// The 64-bit boot protocol (Documentation/arch/x86/boot.rst of Linux): long mode, the first 4 GiB mapped to
// themselves, RSI pointing at the "zero page". For bzImages, and for ELF kernels without a PVH entry.
#include <asm/bootparam.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "vmm/boot/entry.h"
#include "vmm/boot/memory_map.h"
#include "vmm/kvm/tiny_guest.h"
#include "vmm/platform/layout.h"

namespace glassbox::boot {
namespace {

static_assert(sizeof(boot_params) == 4096);
static_assert(offsetof(boot_params, hdr) == 0x1F1);

constexpr std::uint64_t kPresentWritable = 0x3;
constexpr std::uint64_t kLargePage = 0x80;
constexpr std::uint64_t kEntries = 512;
constexpr unsigned kDirectories = 4;  // 1 GiB each
constexpr GuestPhysAddr kPml4 = layout::kBootPageTables;
constexpr GuestPhysAddr kPdpt = kPml4 + 0x1000;
constexpr GuestPhysAddr kDirectory = kPdpt + 0x1000;

constexpr std::uint64_t kCr0ProtectionAndPaging = 0x8000'0001;
constexpr std::uint64_t kCr4Pae = 0x20;
constexpr std::uint64_t kEferLongMode = 0x500;  // LME, LMA

// Null twice, __BOOT_CS (64-bit code) at 0x10, __BOOT_DS (flat data) at 0x18.
constexpr std::uint16_t kCodeSelector = 0x10;
constexpr std::uint16_t kDataSelector = 0x18;
constexpr std::array<std::uint64_t, 4> kGdt = {0, 0, 0x00AF'9B00'0000'FFFF, 0x00CF'9300'0000'FFFF};

bool write_page_tables(const GuestMemory& memory) {
  bool written = memory.write(kPml4, kPdpt | kPresentWritable);
  for (unsigned i = 0; i < kDirectories; ++i) {
    const GuestPhysAddr directory = kDirectory + i * 0x1000;
    written = written && memory.write(kPdpt + i * 8, directory | kPresentWritable);
    for (std::uint64_t j = 0; j < kEntries; ++j) {
      const std::uint64_t page = (i * kEntries + j) << 21;
      written = written && memory.write(directory + j * 8, page | kPresentWritable | kLargePage);
    }
  }
  return written;
}

}  // namespace

Status write_linux64(const Handover& handover, const GuestMemory& memory) {
  boot_params params = {};
  params.acpi_rsdp_addr = handover.rsdp;
  if (handover.kernel.header) {
    params.hdr = *handover.kernel.header;
  } else {
    params.hdr.boot_flag = 0xAA55;
    params.hdr.header = 0x5372'6448;  // "HdrS"
    params.hdr.kernel_alignment = 0x0100'0000;
  }
  params.hdr.type_of_loader = 0xFF;
  params.hdr.loadflags |= LOADED_HIGH;
  params.hdr.setup_data = 0;
  params.hdr.cmd_line_ptr = layout::kCommandLine;
  params.hdr.cmdline_size = static_cast<std::uint32_t>(handover.command_line.size());
  if (handover.initrd) {  // both below 2 GiB, see load_initrd()
    params.hdr.ramdisk_image = static_cast<std::uint32_t>(handover.initrd->address);
    params.hdr.ramdisk_size = static_cast<std::uint32_t>(handover.initrd->size);
  }
  for (const MemoryMapEntry& entry : memory_map(memory)) {
    auto& slot = params.e820_table[params.e820_entries++];
    slot.addr = entry.base;
    slot.size = entry.size;
    slot.type = static_cast<std::uint32_t>(entry.type);
  }
  if (!memory.write(layout::kZeroPage, params) || !memory.write(layout::kBootGdt, kGdt) ||
      !write_page_tables(memory)) {
    return fail("guest memory is too small to boot from");
  }
  return {};
}

Status set_linux64_registers(const Handover& handover, kvm::Vcpu& vcpu) {
  GB_TRY(kvm::set_flat_protected_mode(vcpu, 0));
  GB_ASSIGN(kvm_sregs sregs, vcpu.sregs());
  sregs.cs.selector = kCodeSelector;
  sregs.cs.l = 1;
  sregs.cs.db = 0;
  for (kvm_segment* segment : {&sregs.ds, &sregs.es, &sregs.fs, &sregs.gs, &sregs.ss}) {
    segment->selector = kDataSelector;
  }
  sregs.gdt.base = layout::kBootGdt;
  sregs.gdt.limit = sizeof(kGdt) - 1;
  sregs.cr3 = kPml4;
  sregs.cr4 = kCr4Pae;
  sregs.cr0 = kCr0ProtectionAndPaging;
  sregs.efer = kEferLongMode;
  GB_TRY(vcpu.set_sregs(sregs));
  GB_ASSIGN(kvm_regs regs, vcpu.regs());
  regs.rip = handover.kernel.entry;
  regs.rsi = layout::kZeroPage;
  regs.rsp = 0;
  return vcpu.set_regs(regs);
}

}  // namespace glassbox::boot
