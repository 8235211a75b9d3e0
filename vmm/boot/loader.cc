#include "vmm/boot/loader.h"

#include <algorithm>

#include "vmm/boot/bzimage.h"
#include "vmm/boot/file.h"
#include "vmm/platform/layout.h"

namespace glassbox::boot {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMaxKernelBytes = 1ULL << 30;
// The initrd_addr_max of every x86-64 bzImage: no kernel accepts an initrd above it.
constexpr GuestPhysAddr kInitrdLimit = 0x8000'0000;

// The guest memory of a kernel at address.
Result<std::span<std::byte>> room_for(GuestPhysAddr address, std::uint64_t size, GuestPhysAddr end,
                                      const GuestMemory& memory) {
  if (address < layout::kHighRamStart) return fail("its load address {:#x} is below 1 MiB", address);
  const auto room = memory.slice(address, size);
  if (!room) {
    return fail("it needs memory up to {} MiB, more than the guest has: raise --memory",
                (end + (1 << 20) - 1) >> 20);
  }
  return *room;
}

// Fresh guest memory is zero, so the bytes after the contents need no write, which would only fault pages in.
Result<LoadedKernel> place(const ElfKernel& kernel, const GuestMemory& memory) {
  for (const ElfSegment& segment : kernel.segments) {
    GB_ASSIGN(const auto room, room_for(segment.address, segment.memory_size, kernel.end(), memory));
    std::copy(segment.contents.begin(), segment.contents.end(), room.begin());
  }
  if (kernel.pvh_entry) return LoadedKernel{Protocol::kPvh, *kernel.pvh_entry, kernel.end(), {}};
  return LoadedKernel{Protocol::kLinux64, kernel.entry, kernel.end(), {}};
}

// The code is read to where it runs from: it is most of the file.
Result<LoadedKernel> load_bzimage(ByteView head, const InputFile& file, const GuestMemory& memory) {
  GB_ASSIGN(const BzImage image, parse_bzimage(head, file.size()));
  const GuestPhysAddr end = image.address + image.memory_size;
  GB_ASSIGN(const auto room, room_for(image.address, image.memory_size, end, memory));
  GB_TRY(file.read_at(image.code_offset, room.first(image.code_size)));
  return LoadedKernel{Protocol::kLinux64, image.entry(), end, image.header};
}

Result<LoadedKernel> load_elf(const InputFile& file, const GuestMemory& memory) {
  if (file.size() > kMaxKernelBytes) {
    return fail("its {} MiB exceed the limit of {} MiB for a kernel", file.size() >> 20,
                kMaxKernelBytes >> 20);
  }
  Bytes image(file.size());
  GB_TRY(file.read_at(0, image.span()));
  GB_ASSIGN(const ElfKernel kernel, parse_elf_kernel(image.view()));
  return place(kernel, memory);
}

Result<LoadedKernel> load_kernel_file(const InputFile& file, const GuestMemory& memory) {
  Bytes head(std::min(file.size(), kBzImageHead));
  GB_TRY(file.read_at(0, head.span()));
  if (is_elf(head.view())) return load_elf(file, memory);
  if (is_bzimage(head.view())) return load_bzimage(head.view(), file, memory);
  return fail("neither a bzImage nor an ELF kernel");
}

}  // namespace

Result<LoadedKernel> load_kernel(const std::filesystem::path& path, const GuestMemory& memory) {
  GB_ASSIGN(const InputFile file, InputFile::open(path, "kernel"));
  auto loaded = load_kernel_file(file, memory);
  if (!loaded) return fail("kernel {}: {}", path.string(), loaded.error().message);
  return loaded;
}

Result<LoadedInitrd> load_initrd(const std::filesystem::path& path, const GuestMemory& memory,
                                 GuestPhysAddr kernel_end) {
  GB_ASSIGN(const InputFile file, InputFile::open(path, "initrd"));
  const GuestPhysAddr limit = std::min<GuestPhysAddr>(memory.regions().front().size, kInitrdLimit);
  const std::uint64_t rounded = (file.size() + kPage - 1) / kPage * kPage;
  if (rounded > limit || limit - rounded < kernel_end) {
    return fail(
        "initrd {} of {} MiB does not fit next to the kernel into {} MiB of guest memory: raise --memory",
        path.string(), (file.size() >> 20) + 1, memory.regions().front().size >> 20);
  }
  const GuestPhysAddr address = (limit - rounded) / kPage * kPage;
  const auto target = memory.slice(address, file.size());
  if (!target) return fail("initrd {} does not fit into guest memory: raise --memory", path.string());
  GB_TRY(file.read_at(0, *target));
  return LoadedInitrd{address, file.size()};
}

}  // namespace glassbox::boot
