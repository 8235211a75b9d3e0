// Puts a kernel and an initrd into guest memory.
#pragma once

#include <asm/bootparam.h>

#include <filesystem>
#include <optional>
#include <string>

#include "vmm/base/result.h"
#include "vmm/boot/bytes.h"
#include "vmm/boot/elf.h"
#include "vmm/platform/guest_memory.h"

namespace glassbox::boot {

enum class Protocol {
  kPvh,      // 32-bit entry, hvm_start_info
  kLinux64,  // 64-bit entry, the Linux "zero page"
};

struct LoadedKernel {
  Protocol protocol = Protocol::kPvh;
  GuestPhysAddr entry = 0;
  GuestPhysAddr end = 0;               // first byte after the kernel and the memory that it uses at its start
  std::optional<setup_header> header;  // of a bzImage
};

struct LoadedInitrd {
  GuestPhysAddr address = 0;
  std::uint64_t size = 0;
};

// Loads a bzImage (entered at its 64-bit entry) or an ELF kernel (entered by PVH if it has that entry).
[[nodiscard]] Result<LoadedKernel> load_kernel(const std::filesystem::path& path, const GuestMemory& memory);

// Places the initrd at the end of memory below the PCI hole, clear of the kernel.
[[nodiscard]] Result<LoadedInitrd> load_initrd(const std::filesystem::path& path, const GuestMemory& memory,
                                               GuestPhysAddr kernel_end);

}  // namespace glassbox::boot
