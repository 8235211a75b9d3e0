// Builds kernels for tests, byte by byte: ELF files with a PVH note, and bzImages around a payload.
#pragma once

#include <elf.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

namespace glassbox::test {

using ByteVector = std::vector<std::byte>;

template <typename T>
void store(ByteVector& out, std::size_t offset, const T& value) {
  if (out.size() < offset + sizeof(T)) out.resize(offset + sizeof(T));
  std::memcpy(out.data() + offset, &value, sizeof(T));
}

// Not insert(): gcc 12 sees an overflow in it that is not there (-Warray-bounds).
inline void append(ByteVector& out, std::span<const std::byte> more) {
  const std::size_t at = out.size();
  out.resize(at + more.size());
  std::copy(more.begin(), more.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
}

inline ByteVector bytes(std::initializer_list<unsigned> values) {
  ByteVector out;
  for (const unsigned value : values)
    out.push_back(static_cast<std::byte>(value));
  return out;
}

inline constexpr std::uint64_t kLoadAddress = 0x10'0000;

// An ELF kernel of one segment at kLoadAddress, entered at its first byte, by PVH if `pvh`.
inline ByteVector elf_kernel(std::span<const std::byte> code, bool pvh = true,
                             std::uint64_t extra_memory = 0) {
  struct Note {
    Elf64_Nhdr header;
    char name[4];
    std::uint32_t entry;
  };
  constexpr std::size_t kPrograms = sizeof(Elf64_Ehdr);
  constexpr std::size_t kNote = kPrograms + 2 * sizeof(Elf64_Phdr);
  constexpr std::size_t kCode = 0x200;
  ByteVector out(kCode);
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_entry = kLoadAddress;
  header.e_phoff = kPrograms;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 2;
  store(out, 0, header);
  Elf64_Phdr load = {};
  load.p_type = PT_LOAD;
  load.p_offset = kCode;
  load.p_paddr = kLoadAddress;
  load.p_filesz = code.size();
  load.p_memsz = code.size() + extra_memory;
  store(out, kPrograms, load);
  Elf64_Phdr notes = {};
  notes.p_type = PT_NOTE;
  notes.p_offset = kNote;
  notes.p_filesz = pvh ? sizeof(Note) : 0;
  store(out, kPrograms + sizeof(Elf64_Phdr), notes);
  store(out, kNote, Note{{4, 4, 18}, {'X', 'e', 'n', '\0'}, static_cast<std::uint32_t>(kLoadAddress)});
  append(out, code);
  return out;
}

// A bzImage of protocol 2.15: one setup sector, then code that is loaded at kLoadAddress.
inline ByteVector bzimage(std::span<const std::byte> code, std::uint32_t memory_size = 0) {
  constexpr std::size_t kCode = 2 * 512;
  ByteVector out(kCode);
  append(out, code);
  out.resize((out.size() + 15) / 16 * 16);
  store(out, 0x1F1, std::uint8_t{1});
  store(out, 0x1F4, static_cast<std::uint32_t>((out.size() - kCode) / 16));
  store(out, 0x201, std::uint8_t{0x6A});
  store(out, 0x202, std::uint32_t{0x5372'6448});
  store(out, 0x206, std::uint16_t{0x020F});
  store(out, 0x236, std::uint16_t{1});  // XLF_KERNEL_64
  store(out, 0x258, kLoadAddress);
  store(out, 0x260, memory_size);
  return out;
}

}  // namespace glassbox::test
