// The trace file: what was recorded and nothing derived, so that anyone can do the analysis again.
//
// Little endian. One header of 32 bytes, then chunks: {u32 type, u32 length, length bytes}. The file is only
// ever appended to, so a crash or a full disk leaves what was written so far; a reader takes what is whole
// and says that the end is missing (no kEnd chunk, or a chunk that stops short). Unknown chunk types are
// skipped.
//
//   kInfo     JSON, first chunk:
//   {"tool","interface","kernel","machine":{"kind","cpu","kernel","virtualization"},
//             "drift_ppm","started_at"}
//   kHost     n * struct gb_event, ring order (not time order): the host's
//   kGuest    the same: the guest's, as it sent them, checked for shape when they are read
//   kHooks    JSON: {"side":"host"|"guest","hooks":["name how remark", ...]}
//   kDrops    JSON: {"side":..., "<counter>":n, ...}, cumulative; the last of a side counts
//   kMeta     JSON object; later ones add to earlier ones (RFC 7396). The bench keeps its workload's name and
//             the client's own timings here: {"workload":{"name","title","server","cycles"},"client":{...}}
//   kNote     text, one line: what the collector had to say (no agent, agent went away)
//   kEnd      empty: the recording ended in good order. Metadata may follow
#pragma once

#include <cstddef>
#include <cstdint>

namespace glassbox::trace {

inline constexpr char kMagic[8] = {'G', 'B', 'T', 'R', 'A', 'C', 'E', '\n'};
inline constexpr std::uint32_t kFormatVersion = 1;

struct FileHeader {
  char magic[8];
  std::uint32_t version;
  std::uint32_t event_bytes;     // sizeof(gb_event)
  std::uint64_t interface_hash;  // probe_interface_hash() of the recorder
  std::uint64_t reserved;
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
};
static_assert(sizeof(ChunkHeader) == 8);

// A longer chunk is a damaged file.
inline constexpr std::size_t kMaxChunk = std::size_t{1} << 20;

}  // namespace glassbox::trace
