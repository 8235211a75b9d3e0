// Reads the USDT notes (.note.stapsdt) of an ELF file: which probes a program has, where, and where each
// finds its arguments. This is what a tracer goes by, so it is what the tests hold the shipped programs to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::trace {

struct SdtNote {
  std::string provider;
  std::string name;
  std::uint64_t site = 0;       // address of the nop, as linked
  std::uint64_t base = 0;       // address of .stapsdt.base as linked; 0 means that the linker threw it away
  std::uint64_t semaphore = 0;  // 0: none
  std::uint8_t site_byte = 0;   // the first byte of the instruction at the site
  std::vector<std::string> arguments;  // as spelled in the note: "-4@%eax", "8@$17", "4@8(%rsp)"
};

// All notes of all providers; several of one name are normal (the emitter was inlined at several places).
// Fails if the file is not readable or not ELF; a file without notes gives an empty list.
Result<std::vector<SdtNote>> read_sdt_notes(const std::string& path);

}  // namespace glassbox::trace
