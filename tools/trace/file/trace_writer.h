// Writes a trace file, or adds metadata to one.
//
// Events are buffered into chunks of up to 64 KiB; everything else is written at once. A write that fails
// (disk full) is returned as an error, and the file stays readable up to there; the caller must then stop
// writing.
//
// Owns its descriptor. Not thread-safe.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "bpf/events.h"
#include "tools/trace/file/records.h"
#include "tools/trace/file/trace.h"
#include "tools/trace/file/trace_format.h"
#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::trace {

class TraceWriter {
 public:
  // Creates the file, or replaces an old one of that name, and writes the header and `info` (kInfo).
  [[nodiscard]] static Result<TraceWriter> create(const std::filesystem::path& path,
                                                  const nlohmann::json& info);
  // Opens an existing trace for add_meta(). A truncated trace is an error.
  [[nodiscard]] static Result<TraceWriter> append(const std::filesystem::path& path);

  [[nodiscard]] Status add_event(Origin origin, const gb_event& event);
  [[nodiscard]] Status add_hooks(Origin origin, std::span<const std::string> hooks);
  [[nodiscard]] Status add_drops(Origin origin, const DropCounters& drops);
  [[nodiscard]] Status add_meta(const nlohmann::json& meta);
  [[nodiscard]] Status add_note(std::string_view line);
  // Writes the events that are still buffered.
  [[nodiscard]] Status flush();
  // Flushes and writes the end mark. Without it the file counts as truncated.
  [[nodiscard]] Status finish();

 private:
  TraceWriter(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}
  [[nodiscard]] Status write_chunk(ChunkType type, std::span<const std::byte> payload);
  [[nodiscard]] Status write(std::span<const std::byte> bytes);
  [[nodiscard]] Status write_json(ChunkType type, const nlohmann::json& value);
  [[nodiscard]] Status flush(Origin origin);

  UniqueFd fd_;
  std::string name_;
  std::size_t chunk_header_bytes_ = sizeof(ChunkHeader);
  std::vector<gb_event> pending_[2];  // by Origin
};

}  // namespace glassbox::trace
