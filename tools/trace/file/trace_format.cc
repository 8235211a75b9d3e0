#include "tools/trace/file/trace_format.h"

#include <zlib.h>

namespace glassbox::trace {

std::uint32_t checksum(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(
      ::crc32_z(::crc32_z(0, nullptr, 0), reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

ChunkHeader chunk_header(ChunkType type, std::span<const std::byte> payload) {
  ChunkHeader header = {static_cast<std::uint32_t>(type), static_cast<std::uint32_t>(payload.size()), 0,
                        checksum(payload)};
  header.header_crc = checksum(std::as_bytes(std::span(&header, 1)).first(kChunkHeaderV1));
  return header;
}

}  // namespace glassbox::trace
