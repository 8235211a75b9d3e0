// The layout of a trace file. It holds what was recorded and nothing derived, so that the analysis can be
// repeated by anyone. FORMAT.md describes it for authors of other readers.
//
// Little endian. One header of 32 bytes, then chunks: a header of 16 bytes and `length` bytes of payload. A
// file is only appended to, so a crash or a full disk leaves what was written so far; the reader takes what
// is whole and reports that the end is missing (no kEnd chunk, or a chunk that stops short). Header, chunk
// headers and payloads carry checksums (CRC-32 of zlib), so that the reader finds bytes that were overwritten
// and names the place. It skips chunk types that it does not know.
//
// Version 1 had chunk headers of 8 bytes {type, length} and no checksums. Version 2 is the current one.
//
//   kInfo     JSON, first chunk:
//   {"tool","interface","kernel","machine":{"kind","cpu","kernel","virtualization"},
//             "drift_ppm","started_at"}
//   kHost     n * struct gb_event of the host, in the order of the ring buffer, which is not quite time order
//   kGuest    the same of the guest, as it sent them: the reader checks their shape
//   kHooks    JSON: {"side":"host"|"guest","hooks":["name how remark", ...]}
//   kDrops    JSON: {"side":..., "<counter>":n, ...}, cumulative; the last one of a side counts. The host's
//             are written every second, so that a file without an end has them too. "<counter>:<event>" is
//             the part of <counter> that belongs to one event
//   kMeta     JSON object; later ones add to earlier ones (RFC 7396). The bench keeps its workload's name and
//             the client's own timings here: {"workload":{"name","title","server","cycles"},"client":{...}}
//   kNote     text, one line: a remark of the recorder (no agent, agent hung up)
//   kEnd      empty: the recording ended in good order. kMeta chunks may follow
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace glassbox::trace {

inline constexpr char kMagic[8] = {'G', 'B', 'T', 'R', 'A', 'C', 'E', '\n'};
inline constexpr std::uint32_t kFormatVersion = 2;

struct FileHeader {
  char magic[8];
  std::uint32_t version;
  std::uint32_t event_bytes;     // sizeof(gb_event)
  std::uint64_t interface_hash;  // probe_interface_hash() of the recorder
  std::uint32_t reserved;
  std::uint32_t crc;  // of the 28 bytes before; 0 in version 1
};
static_assert(sizeof(FileHeader) == 32);

enum class ChunkType : std::uint32_t {
  kInfo = 1,
  kHost = 2,
  kGuest = 3,
  kHooks = 4,
  kDrops = 5,
  kMeta = 6,
  kNote = 7,
  kEnd = 8,
};

struct ChunkHeader {
  std::uint32_t type;
  std::uint32_t length;
  std::uint32_t header_crc;   // of the 8 bytes before
  std::uint32_t payload_crc;  // of the payload
};
static_assert(sizeof(ChunkHeader) == 16);
inline constexpr std::size_t kChunkHeaderV1 = 8;
[[nodiscard]] constexpr std::size_t chunk_header_bytes(std::uint32_t version) {
  return version == 1 ? kChunkHeaderV1 : sizeof(ChunkHeader);
}

[[nodiscard]] std::uint32_t checksum(std::span<const std::byte> bytes);
// The header of a chunk with this payload, both checksums filled in.
[[nodiscard]] ChunkHeader chunk_header(ChunkType type, std::span<const std::byte> payload);

// A longer chunk is a damaged file.
inline constexpr std::size_t kMaxChunk = std::size_t{1} << 20;

}  // namespace glassbox::trace
