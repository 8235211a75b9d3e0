#include "tools/trace/file/trace_writer.h"

#include <fcntl.h>

#include <cstddef>
#include <cstring>

#include "tools/trace/file/kinds.h"
#include "tools/trace/file/trace_reader.h"
#include "vmm/base/io.h"

namespace glassbox::trace {
namespace {

constexpr std::size_t kEventsPerChunk = 64 * 1024 / sizeof(gb_event);

std::string_view side_name(Origin origin) {
  return origin == Origin::kHost ? "host" : "guest";
}

}  // namespace

Result<TraceWriter> TraceWriter::create(const std::filesystem::path& path, const nlohmann::json& info) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644));
  if (!fd) return fail_errno(errno, "{}: cannot create the trace", path.string());
  TraceWriter writer(std::move(fd), path.string());
  FileHeader header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kFormatVersion;
  header.event_bytes = sizeof(gb_event);
  header.interface_hash = probe_interface_hash();
  header.crc = checksum(std::as_bytes(std::span(&header, 1)).first(offsetof(FileHeader, crc)));
  GB_TRY(writer.write(std::as_bytes(std::span(&header, 1))));
  GB_TRY(writer.write_json(ChunkType::kInfo, info));
  return writer;
}

Result<TraceWriter> TraceWriter::append(const std::filesystem::path& path) {
  GB_ASSIGN(const Trace trace, read_trace(path));
  if (trace.truncated) return fail("{}: cannot add to a truncated trace", path.string());
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}: cannot write to the trace", path.string());
  TraceWriter writer(std::move(fd), path.string());
  writer.chunk_header_bytes_ = chunk_header_bytes(trace.format);
  return writer;
}

Status TraceWriter::add_event(Origin origin, const gb_event& event) {
  auto& pending = pending_[static_cast<int>(origin)];
  pending.push_back(event);
  return pending.size() >= kEventsPerChunk ? flush(origin) : Status{};
}

Status TraceWriter::add_hooks(Origin origin, std::span<const std::string> hooks) {
  return write_json(ChunkType::kHooks, {{"side", side_name(origin)}, {"hooks", hooks}});
}

Status TraceWriter::add_drops(Origin origin, const DropCounters& drops) {
  nlohmann::json object = {{"side", side_name(origin)}};
  for (const auto& [name, count] : drops)
    object[name] = count;
  return write_json(ChunkType::kDrops, object);
}

Status TraceWriter::add_meta(const nlohmann::json& meta) {
  return write_json(ChunkType::kMeta, meta);
}

Status TraceWriter::add_note(std::string_view line) {
  return write_chunk(ChunkType::kNote, std::as_bytes(std::span(line.data(), line.size())));
}

Status TraceWriter::flush() {
  GB_TRY(flush(Origin::kHost));
  return flush(Origin::kGuest);
}

Status TraceWriter::flush(Origin origin) {
  auto& pending = pending_[static_cast<int>(origin)];
  if (pending.empty()) return {};
  const auto type = origin == Origin::kHost ? ChunkType::kHost : ChunkType::kGuest;
  Status status = write_chunk(type, std::as_bytes(std::span(pending)));
  pending.clear();
  return status;
}

Status TraceWriter::finish() {
  GB_TRY(flush());
  return write_chunk(ChunkType::kEnd, {});
}

Status TraceWriter::write_json(ChunkType type, const nlohmann::json& value) {
  // Text from a guest may hold any bytes: what is not UTF-8 is replaced.
  const std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return write_chunk(type, std::as_bytes(std::span(text)));
}

Status TraceWriter::write_chunk(ChunkType type, std::span<const std::byte> payload) {
  if (payload.size() > kMaxChunk) return fail("{}: a chunk of {} bytes is too long", name_, payload.size());
  const ChunkHeader header = chunk_header(type, payload);
  std::vector<std::byte> bytes(chunk_header_bytes_ + payload.size());
  std::memcpy(bytes.data(), &header, chunk_header_bytes_);
  if (!payload.empty()) std::memcpy(bytes.data() + chunk_header_bytes_, payload.data(), payload.size());
  return write(bytes);
}

Status TraceWriter::write(std::span<const std::byte> bytes) {
  if (write_all(fd_.get(), bytes.data(), bytes.size())) return {};
  return fail_errno(errno, "{}: cannot write to the trace (it stays readable up to here)", name_);
}

}  // namespace glassbox::trace
