#include "tools/trace/file/trace_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "tools/trace/file/kinds.h"
#include "tools/trace/file/records.h"
#include "tools/trace/file/trace_format.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::trace {
namespace {

using nlohmann::json;

// Deeper nesting does not occur in our files. nlohmann/json recurses when it destroys a value, so depth must
// be bounded.
constexpr int kMaxJsonDepth = 16;

Result<json> parse_object(std::span<const std::byte> payload, std::string_view name) {
  const auto* text = reinterpret_cast<const char*>(payload.data());
  const auto limit_depth = [](int depth, json::parse_event_t, json&) { return depth <= kMaxJsonDepth; };
  json value = json::parse(text, text + payload.size(), limit_depth, /*allow_exceptions=*/false);
  if (!value.is_object()) return fail("{}: damaged trace file (a JSON chunk does not parse)", name);
  return value;
}

void take_events(std::span<const std::byte> payload, Origin origin, Side& side) {
  std::vector<gb_event> events(payload.size() / sizeof(gb_event));
  if (!events.empty()) std::memcpy(events.data(), payload.data(), events.size() * sizeof(gb_event));
  take_records(events, origin, side);
}

Side* side_of(const json& object, Trace& trace) {
  const auto side = object.find("side");
  if (side == object.end() || !side->is_string()) return nullptr;
  if (*side == "host") return &trace.host;
  return *side == "guest" ? &trace.guest : nullptr;
}

void take_hooks(const json& object, Trace& trace) {
  Side* side = side_of(object, trace);
  const auto hooks = object.find("hooks");
  if (side == nullptr || hooks == object.end() || !hooks->is_array()) return;
  side->hooks.clear();
  for (const json& hook : *hooks)
    if (hook.is_string()) side->hooks.push_back(bpf::parse_hook(hook.get<std::string>()));
}

void take_drops(const json& object, Trace& trace) {
  Side* side = side_of(object, trace);
  if (side == nullptr) return;
  side->drops.clear();
  for (const auto& [key, value] : object.items())
    if (value.is_number_unsigned()) side->drops[key] = value.get<std::uint64_t>();
}

Status take_chunk(ChunkType type, std::span<const std::byte> payload, std::string_view name, Trace& trace,
                  bool& ended) {
  switch (type) {
    case ChunkType::kHost:
      take_events(payload, Origin::kHost, trace.host);
      return {};
    case ChunkType::kGuest:
      take_events(payload, Origin::kGuest, trace.guest);
      return {};
    case ChunkType::kNote:
      trace.notes.emplace_back(reinterpret_cast<const char*>(payload.data()), payload.size());
      return {};
    case ChunkType::kEnd:
      ended = true;
      return {};
    case ChunkType::kInfo: {
      GB_ASSIGN(trace.info, parse_object(payload, name));
      return {};
    }
    case ChunkType::kMeta: {
      GB_ASSIGN(const json patch, parse_object(payload, name));
      trace.meta.merge_patch(patch);
      return {};
    }
    case ChunkType::kHooks: {
      GB_ASSIGN(const json object, parse_object(payload, name));
      take_hooks(object, trace);
      return {};
    }
    case ChunkType::kDrops: {
      GB_ASSIGN(const json object, parse_object(payload, name));
      take_drops(object, trace);
      return {};
    }
  }
  return {};  // a chunk type of a later version
}

// The report holds every event of a trace in memory.
std::size_t memory_bytes() {
  return static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

class Mapping {
 public:
  Mapping(void* address, std::size_t size) : address_(address), size_(size) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { ::munmap(address_, size_); }
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(address_), size_};
  }

 private:
  void* address_;
  std::size_t size_;
};

}  // namespace

Result<Trace> parse_trace(std::span<const std::byte> bytes, std::string_view name) {
  FileHeader header;
  if (bytes.size() < sizeof(header))
    return fail("{}: not a glassbox trace (only {} bytes)", name, bytes.size());
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) return fail("{}: not a glassbox trace", name);
  if (header.version < 1 || header.version > kFormatVersion || header.event_bytes != sizeof(gb_event))
    return fail(
        "{}: trace format version {} with events of {} bytes; this program reads versions 1 to {}, {} bytes",
        name, header.version, header.event_bytes, kFormatVersion, sizeof(gb_event));
  if (header.version > 1 && header.crc != checksum(bytes.first(offsetof(FileHeader, crc))))
    return fail("{}: damaged trace file (the header's checksum is wrong)", name);
  Trace trace;
  trace.format = header.version;
  trace.other_interface = header.interface_hash != probe_interface_hash();
  bool ended = false;
  std::size_t offset = sizeof(header);
  const bool checked = header.version > 1;
  const std::size_t header_bytes = chunk_header_bytes(header.version);
  while (bytes.size() - offset >= header_bytes) {
    ChunkHeader chunk;
    std::memcpy(&chunk, bytes.data() + offset, header_bytes);
    if (checked && chunk.header_crc != checksum(bytes.subspan(offset, kChunkHeaderV1)))
      return fail("{}: damaged trace file (the chunk header at offset {} has a wrong checksum)", name,
                  offset);
    if (chunk.type == 0)  // a hole in the file, or a tail of zeros
      return fail("{}: damaged trace file (zeros at offset {})", name, offset);
    if (chunk.length > kMaxChunk)
      return fail("{}: damaged trace file (a chunk of {} bytes at offset {})", name, chunk.length, offset);
    offset += header_bytes;
    const auto type = static_cast<ChunkType>(chunk.type);
    if (chunk.length > bytes.size() - offset) {  // cut short: whole events are still good
      const auto rest = bytes.subspan(offset);
      if (type == ChunkType::kHost || type == ChunkType::kGuest)
        GB_TRY(take_chunk(type, rest, name, trace, ended));
      trace.truncated = true;
      offset = bytes.size();
      break;
    }
    const auto payload = bytes.subspan(offset, chunk.length);
    if (checked && chunk.payload_crc != checksum(payload))
      return fail(
          "{}: damaged trace file (the chunk of type {} with {} bytes at offset {} has a wrong checksum)",
          name, chunk.type, chunk.length, offset);
    GB_TRY(take_chunk(type, payload, name, trace, ended));
    offset += chunk.length;
  }
  trace.truncated |= offset != bytes.size() || !ended;
  check_sequences(trace.host);
  check_sequences(trace.guest);
  return trace;
}

Result<Trace> read_trace(const std::filesystem::path& path) {
  const UniqueFd fd(
      ::open(path.c_str(),
             O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // O_NONBLOCK: opening a FIFO would wait for a writer
  if (!fd) return fail_errno(errno, "{}: cannot open the trace", path.string());
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail_errno(errno, "{}: cannot stat the trace", path.string());
  if (!S_ISREG(info.st_mode)) return fail("{}: not a glassbox trace (not a regular file)", path.string());
  if (info.st_size == 0) return fail("{}: not a glassbox trace (empty)", path.string());
  const auto size = static_cast<std::size_t>(info.st_size);
  if (const std::size_t memory = memory_bytes(); size > memory)
    return fail(
        "{}: a trace of {} MiB does not fit into this machine's memory of {} MiB: record a shorter one",
        path.string(), size >> 20, memory >> 20);
  // If another process shortened the file now, reading the mapping would raise SIGBUS. Traces are only
  // appended to.
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (address == MAP_FAILED) return fail_errno(errno, "{}: cannot map the trace", path.string());
  const Mapping mapping(address, size);
  return parse_trace(mapping.bytes(), path.string());
}

}  // namespace glassbox::trace
