// Reads a trace file into memory.
//
// The file is hostile. Memory is bounded by the size of the file. A file that is damaged, or not a trace, is
// an error of one line that names the file and the place. A file that stops short yields what it has, with
// Trace::truncated set.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "tools/trace/file/trace.h"
#include "vmm/base/result.h"

namespace glassbox::trace {

// `path` must be a regular file, no larger than the memory of this machine.
[[nodiscard]] Result<Trace> read_trace(const std::filesystem::path& path);

// The same from memory, without I/O. `name` appears in error messages.
[[nodiscard]] Result<Trace> parse_trace(std::span<const std::byte> bytes, std::string_view name);

}  // namespace glassbox::trace
