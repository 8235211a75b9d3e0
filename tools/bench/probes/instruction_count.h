// Counts the instructions of one function of a program, and of what it calls, with valgrind's callgrind.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::bench {

struct InstructionCount {
  std::uint64_t total = 0;
  std::map<std::uint64_t, std::uint64_t> at;       // by address as linked, of the program itself
  std::map<std::string, std::uint64_t> functions;  // exclusive, by name
};

// Runs `command`, whose program must not be position-independent, and counts within `function` (a pattern of
// callgrind's --toggle-collect). Fails if valgrind is missing or the program fails.
[[nodiscard]] Result<InstructionCount> count_instructions(const std::vector<std::string>& command,
                                                          const std::string& function);

// Of callgrind's output file, uncompressed and with instruction addresses.
[[nodiscard]] InstructionCount parse_callgrind(std::istream& in);

}  // namespace glassbox::bench
