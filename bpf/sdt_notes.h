// Reads the USDT notes (.note.stapsdt) of an ELF file: which probes a program has, where they are, and where
// each has its arguments. Tracers rely on these notes, so the tests check the shipped programs through them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::bpf {

struct SdtNote {
  std::string provider;
  std::string name;
  std::uint64_t site = 0;  // address of the nop, as linked
  std::uint64_t base = 0;  // address of .stapsdt.base as linked; 0 means that the linker removed the section
  std::uint64_t semaphore = 0;         // 0: none
  std::uint8_t site_byte = 0;          // the first byte of the instruction at the site
  std::vector<std::string> arguments;  // as spelled in the note: "-4@%eax", "8@$17", "4@8(%rsp)"
};

// All notes of all providers; a name may occur several times, because the emitter is inlined at each call.
// Fails if the file is not readable or not ELF; a file without notes gives an empty list.
Result<std::vector<SdtNote>> read_sdt_notes(const std::string& path);

}  // namespace glassbox::bpf
