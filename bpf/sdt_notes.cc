// Note format: https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation. The descriptor is three
// addresses (site, base, semaphore), then three strings: provider, name, arguments.
#include "bpf/sdt_notes.h"

#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>

#include <cstring>
#include <memory>
#include <sstream>
#include <string_view>

#include "vmm/base/unique_fd.h"

namespace glassbox::bpf {
namespace {

constexpr GElf_Word kSdtNoteType = 3;

struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfPtr = std::unique_ptr<Elf, ElfEnd>;

// A NUL-terminated string at the head of `rest`, which is advanced past it; false if there is none.
bool take_string(std::string_view& rest, std::string& out) {
  const std::size_t end = rest.find('\0');
  if (end == std::string_view::npos) return false;
  out = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return true;
}

bool parse_descriptor(std::string_view descriptor, SdtNote& note) {
  std::uint64_t addresses[3];
  if (descriptor.size() < sizeof(addresses)) return false;
  std::memcpy(addresses, descriptor.data(), sizeof(addresses));
  descriptor.remove_prefix(sizeof(addresses));
  note.site = addresses[0];
  note.base = addresses[1];
  note.semaphore = addresses[2];
  std::string arguments;
  if (!take_string(descriptor, note.provider) || !take_string(descriptor, note.name) ||
      !take_string(descriptor, arguments)) {
    return false;
  }
  std::istringstream words(arguments);
  for (std::string word; words >> word;)
    note.arguments.push_back(word);
  return true;
}

std::uint8_t byte_at(Elf* elf, std::uint64_t address) {
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_PROGBITS) continue;
    if (address < header.sh_addr || address - header.sh_addr >= header.sh_size) continue;
    if ((header.sh_flags & SHF_ALLOC) == 0) continue;
    const Elf_Data* data = elf_getdata(section, nullptr);
    const std::uint64_t offset = address - header.sh_addr;
    if (data == nullptr || data->d_buf == nullptr || offset >= data->d_size) return 0;
    return static_cast<const std::uint8_t*>(data->d_buf)[offset];
  }
  return 0;
}

}  // namespace

Result<std::vector<SdtNote>> read_sdt_notes(const std::string& path) {
  elf_version(EV_CURRENT);
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "cannot read {}", path);
  const ElfPtr elf(elf_begin(fd.get(), ELF_C_READ_MMAP, nullptr));
  std::size_t strings = 0;
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF || elf_getshdrstrndx(elf.get(), &strings) != 0) {
    return fail("{} is not an ELF program", path);
  }

  std::vector<SdtNote> notes;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf.get(), section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_NOTE) continue;
    const char* section_name = elf_strptr(elf.get(), strings, header.sh_name);
    if (section_name == nullptr || std::strcmp(section_name, ".note.stapsdt") != 0) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    GElf_Nhdr note_header;
    std::size_t name_at = 0;
    std::size_t descriptor_at = 0;
    for (std::size_t at = 0; data != nullptr && at < data->d_size;) {
      at = gelf_getnote(data, at, &note_header, &name_at, &descriptor_at);
      if (at == 0) return fail("{} has a damaged .note.stapsdt section", path);
      if (note_header.n_type != kSdtNoteType) continue;
      SdtNote note;
      const auto* bytes = static_cast<const char*>(data->d_buf);
      if (!parse_descriptor({bytes + descriptor_at, note_header.n_descsz}, note)) {
        return fail("{} has a damaged .note.stapsdt section", path);
      }
      note.site_byte = byte_at(elf.get(), note.site);
      notes.push_back(std::move(note));
    }
  }
  return notes;
}

}  // namespace glassbox::bpf
