// Trace files as a function of bytes: reading, the report, the table. The first byte of an input has flags.
// They ask the target to repair checksums; otherwise almost no change would pass them:
//   1  the checksums of the header and of every chunk that can be found
#include <cstddef>
#include <cstring>

#include "tests/fuzz/trace_report.h"
#include "tools/trace/file/trace_format.h"
#include "tools/trace/file/trace_reader.h"

namespace glassbox::trace {
namespace {

constexpr std::uint8_t kRepair = 1;

void repair(std::span<std::byte> bytes) {
  FileHeader header;
  if (bytes.size() < sizeof(header)) return;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.version == 1) return;
  header.crc = checksum(bytes.first(offsetof(FileHeader, crc)));
  std::memcpy(bytes.data(), &header, sizeof(header));
  for (auto rest = bytes.subspan(sizeof(header)); rest.size() >= sizeof(ChunkHeader);) {
    ChunkHeader chunk;
    std::memcpy(&chunk, rest.data(), sizeof(chunk));
    const std::size_t length = std::min<std::size_t>(chunk.length, rest.size() - sizeof(chunk));
    const auto payload = rest.subspan(sizeof(chunk), length);
    chunk.header_crc = checksum(rest.first(kChunkHeaderV1));
    chunk.payload_crc = checksum(payload);
    std::memcpy(rest.data(), &chunk, sizeof(chunk));
    rest = rest.subspan(sizeof(chunk) + length);
  }
}

}  // namespace
}  // namespace glassbox::trace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glassbox;
  fuzz::Input input(data, size);
  const std::uint8_t flags = input.byte();
  std::vector<std::uint8_t> bytes = input.bytes(input.left());
  if ((flags & trace::kRepair) != 0) trace::repair(std::as_writable_bytes(std::span(bytes)));
  const auto trace = trace::parse_trace(std::as_bytes(std::span(bytes)), "input");
  if (!trace) {
    fuzz::insist(trace.error().message.find('\n') == std::string::npos, "an error of several lines");
    return 0;
  }
  const std::size_t events = trace->host.events.size() + trace->guest.events.size();
  fuzz::insist(events * sizeof(gb_event) <= size, "more events than the file has room for");
  fuzz::check_report(*trace);
  return 0;
}
