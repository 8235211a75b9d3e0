#include "vmm/boot/loader.h"

#include <algorithm>

#include "vmm/boot/bzimage.h"
#include "vmm/boot/decompress.h"
#include "vmm/boot/file.h"
#include "vmm/machine/layout.h"

namespace glassbox::boot {
namespace {

constexpr std::uint64_t kPage = 4096;
// Where initrd_addr_max of every bzImage stands: kernels take no initrd above it.
constexpr GuestPhysAddr kInitrdLimit = 0x8000'0000;

Result<LoadedKernel> place(const ElfKernel& kernel, const GuestMemory& memory) {
  for (const ElfSegment& segment : kernel.segments) {
    if (segment.address < layout::kHighRamStart) {
      return fail("it wants to be loaded at {:#x}, below 1 MiB", segment.address);
    }
    const auto target = memory.slice(segment.address, segment.memory_size);
    if (!target) {
      return fail("it needs memory up to {} MiB, more than the guest has (--memory)",
                  (kernel.end() + (1 << 20) - 1) >> 20);
    }
    // Fresh guest memory is zero already: writing zeros would only fault it in.
    std::copy(segment.contents.begin(), segment.contents.end(), target->begin());
  }
  if (kernel.pvh_entry) return LoadedKernel{Protocol::kPvh, *kernel.pvh_entry, kernel.end()};
  return LoadedKernel{Protocol::kLinux64, kernel.entry, kernel.end()};
}

}  // namespace

Result<LoadedKernel> load_kernel_image(ByteView image, const GuestMemory& memory) {
  if (is_elf(image)) {
    GB_ASSIGN(const ElfKernel kernel, parse_elf_kernel(image));
    return place(kernel, memory);
  }
  if (!is_bzimage(image)) return fail("neither a bzImage nor an ELF kernel");
  GB_ASSIGN(const ByteView payload, bzimage_payload(image));
  GB_ASSIGN(const Bytes vmlinux, decompress_kernel(payload));
  GB_ASSIGN(const ElfKernel kernel, parse_elf_kernel(vmlinux.view()));
  return place(kernel, memory);
}

Result<LoadedKernel> load_kernel(const std::filesystem::path& path, const GuestMemory& memory) {
  GB_ASSIGN(const Bytes image, read_file(path, "kernel"));
  auto loaded = load_kernel_image(image.view(), memory);
  if (!loaded) return fail("kernel {}: {}", path.string(), loaded.error().message);
  return loaded;
}

Result<LoadedInitrd> load_initrd(const std::filesystem::path& path, const GuestMemory& memory,
                                 GuestPhysAddr kernel_end) {
  GB_ASSIGN(const InputFile file, InputFile::open(path, "initrd"));
  const GuestPhysAddr limit = std::min<GuestPhysAddr>(memory.regions().front().size, kInitrdLimit);
  const std::uint64_t rounded = (file.size() + kPage - 1) / kPage * kPage;
  if (rounded > limit || limit - rounded < kernel_end) {
    return fail("initrd {} of {} MiB does not fit beside the kernel into {} MiB of guest memory (--memory)",
                path.string(), (file.size() >> 20) + 1, memory.regions().front().size >> 20);
  }
  const GuestPhysAddr address = (limit - rounded) / kPage * kPage;
  const auto target = memory.slice(address, file.size());
  if (!target) return fail("initrd {} does not fit into guest memory (--memory)", path.string());
  GB_TRY(file.read_into(*target));
  return LoadedInitrd{address, file.size()};
}

}  // namespace glassbox::boot
