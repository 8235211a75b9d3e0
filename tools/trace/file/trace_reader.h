// Reads a trace file. The file is hostile: memory is bounded by the file's size, a damaged or foreign file is
// a one-line error, a truncated one yields what it has.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "tools/trace/file/trace.h"
#include "vmm/base/result.h"

namespace glassbox::trace {

[[nodiscard]] Result<Trace> read_trace(const std::filesystem::path& path);

// The same from memory; `name` is for messages.
[[nodiscard]] Result<Trace> parse_trace(std::span<const std::byte> bytes, std::string_view name);

}  // namespace glassbox::trace
