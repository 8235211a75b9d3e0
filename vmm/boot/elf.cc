#include "vmm/boot/elf.h"

#include <elf.h>

#include <algorithm>

namespace glassbox::boot {
namespace {

constexpr std::uint32_t kXenPhys32Entry = 18;  // XEN_ELFNOTE_PHYS32_ENTRY
constexpr std::uint64_t kMaxAddress = 1ULL << 40;

constexpr std::uint64_t align4(std::uint64_t value) {
  return (value + 3) & ~std::uint64_t{3};
}

// Looks for the PVH entry among the notes of one PT_NOTE segment.
std::optional<GuestPhysAddr> pvh_entry_in(ByteView notes) {
  std::uint64_t at = 0;
  while (const auto header = load<Elf64_Nhdr>(notes, at)) {
    const std::uint64_t name_at = at + sizeof(Elf64_Nhdr);
    const std::uint64_t desc_at = name_at + align4(header->n_namesz);
    const auto name = part(notes, name_at, header->n_namesz);
    const auto desc = part(notes, desc_at, header->n_descsz);
    if (!name || !desc) break;
    if (header->n_type == kXenPhys32Entry && name->size() == 4 && std::memcmp(name->data(), "Xen", 4) == 0) {
      if (desc->size() == 8) return load<std::uint64_t>(*desc, 0);
      if (const auto entry = load<std::uint32_t>(*desc, 0)) return *entry;
    }
    at = desc_at + align4(header->n_descsz);
  }
  return std::nullopt;
}

Status check_header(const Elf64_Ehdr& header) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64) {
    return fail("an ELF file, but not one for x86-64");
  }
  if (header.e_type != ET_EXEC || header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0) {
    return fail("an ELF file, but not an executable kernel");
  }
  return {};
}

bool contains(const ElfSegment& segment, GuestPhysAddr address) {
  return address >= segment.address && address - segment.address < segment.memory_size;
}

}  // namespace

GuestPhysAddr ElfKernel::end() const {
  GuestPhysAddr end = 0;
  for (const ElfSegment& segment : segments)
    end = std::max(end, segment.address + segment.memory_size);
  return end;
}

bool is_elf(ByteView image) {
  return image.size() >= SELFMAG && std::memcmp(image.data(), ELFMAG, SELFMAG) == 0;
}

Result<ElfKernel> parse_elf_kernel(ByteView image) {
  const auto header = load<Elf64_Ehdr>(image, 0);
  if (!is_elf(image) || !header) return fail("truncated within its ELF header");
  GB_TRY(check_header(*header));

  ElfKernel kernel;
  kernel.entry = header->e_entry;
  for (unsigned i = 0; i < header->e_phnum; ++i) {
    if (header->e_phoff > image.size()) return fail("truncated: its program headers are missing");
    const auto program = load<Elf64_Phdr>(image, header->e_phoff + std::uint64_t{i} * sizeof(Elf64_Phdr));
    if (!program) return fail("truncated: its program headers are missing");
    if (program->p_type != PT_LOAD && program->p_type != PT_NOTE) continue;
    const auto contents = part(image, program->p_offset, program->p_filesz);
    if (!contents) {
      return fail("truncated: segment {} needs {} bytes at offset {} of {}", i, program->p_filesz,
                  program->p_offset, image.size());
    }
    if (program->p_type == PT_NOTE) {
      if (!kernel.pvh_entry) kernel.pvh_entry = pvh_entry_in(*contents);
      continue;
    }
    if (program->p_memsz == 0) continue;
    if (program->p_filesz > program->p_memsz || program->p_paddr > kMaxAddress ||
        program->p_memsz > kMaxAddress) {
      return fail("damaged: segment {} is to be loaded at {:#x}, {} bytes", i, program->p_paddr,
                  program->p_memsz);
    }
    kernel.segments.push_back(ElfSegment{program->p_paddr, *contents, program->p_memsz});
  }
  if (kernel.segments.empty()) return fail("an ELF file without a segment to load");
  const auto in_kernel = [&kernel](GuestPhysAddr address) {
    return std::any_of(kernel.segments.begin(), kernel.segments.end(),
                       [address](const ElfSegment& segment) { return contains(segment, address); });
  };
  if (kernel.pvh_entry && !in_kernel(*kernel.pvh_entry)) kernel.pvh_entry.reset();
  if (!kernel.pvh_entry && !in_kernel(kernel.entry)) {
    return fail("damaged: its entry point {:#x} lies outside its segments", kernel.entry);
  }
  return kernel;
}

}  // namespace glassbox::boot
