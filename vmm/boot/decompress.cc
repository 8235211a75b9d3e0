#include "vmm/boot/decompress.h"

#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>

namespace glassbox::boot {
namespace {

using Target = std::span<std::byte>;
constexpr std::uint64_t kTrailer = 4;

tl::unexpected<Error> damaged(const char* format) {
  return fail("its {} payload is damaged or truncated", format);
}

const std::uint8_t* bytes_of(ByteView view) {
  return reinterpret_cast<const std::uint8_t*>(view.data());
}
std::uint8_t* bytes_of(Target target) {
  return reinterpret_cast<std::uint8_t*>(target.data());
}

// lz4 -l: magic, then blocks of u32 size and data, each at most 8 MiB when decompressed.
Status lz4_legacy(ByteView payload, Target target) {
  constexpr std::size_t kBlock = 8 << 20;
  std::uint64_t at = 4;
  std::size_t done = 0;
  while (done < target.size()) {
    const auto size = load<std::uint32_t>(payload, at);
    const auto block = size ? part(payload, at + 4, *size) : std::nullopt;
    if (!block || block->size() > LZ4_COMPRESSBOUND(kBlock)) return damaged("LZ4");
    const Target room = target.subspan(done, std::min(kBlock, target.size() - done));
    const int got = LZ4_decompress_safe(reinterpret_cast<const char*>(block->data()),
                                        reinterpret_cast<char*>(room.data()), static_cast<int>(block->size()),
                                        static_cast<int>(room.size()));
    if (got <= 0) return damaged("LZ4");
    done += static_cast<std::size_t>(got);
    at += 4 + block->size();
  }
  return {};
}

Status gzip(ByteView payload, Target target) {
  z_stream stream = {};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return fail("zlib cannot start");
  // zlib's interface is not const-correct; it does not write to its input.
  stream.next_in = const_cast<std::uint8_t*>(bytes_of(payload));
  stream.avail_in = static_cast<uInt>(payload.size());
  stream.next_out = bytes_of(target);
  stream.avail_out = static_cast<uInt>(target.size());
  const int status = inflate(&stream, Z_FINISH);
  const bool complete = status == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  if (!complete) return damaged("gzip");
  return {};
}

Status xz(ByteView payload, Target target) {
  std::uint64_t memory_limit = 256ULL << 20;
  std::size_t in = 0;
  std::size_t out = 0;
  const lzma_ret status =
      lzma_stream_buffer_decode(&memory_limit, 0, nullptr, bytes_of(payload), &in, payload.size() - kTrailer,
                                bytes_of(target), &out, target.size());
  if (status != LZMA_OK || out != target.size()) return damaged("xz");
  return {};
}

Status zstd(ByteView payload, Target target) {
  const std::size_t got =
      ZSTD_decompress(target.data(), target.size(), payload.data(), payload.size() - kTrailer);
  if (ZSTD_isError(got) != 0 || got != target.size()) return damaged("zstd");
  return {};
}

struct Format {
  std::array<std::uint8_t, 4> magic;
  std::size_t magic_size;
  Status (*decompress)(ByteView, Target);
};
constexpr std::array<Format, 4> kFormats = {{
    {{0x02, 0x21, 0x4C, 0x18}, 4, lz4_legacy},
    {{0x1F, 0x8B}, 2, gzip},
    {{0xFD, '7', 'z', 'X'}, 4, xz},
    {{0x28, 0xB5, 0x2F, 0xFD}, 4, zstd},
}};

}  // namespace

Result<Bytes> decompress_kernel(ByteView payload) {
  if (payload.size() < 16) return fail("its compressed kernel has only {} bytes", payload.size());
  const auto format = std::find_if(kFormats.begin(), kFormats.end(), [&](const Format& candidate) {
    return std::memcmp(payload.data(), candidate.magic.data(), candidate.magic_size) == 0;
  });
  if (format == kFormats.end()) {
    return fail("its payload begins with {:02x} {:02x} {:02x} {:02x}: not LZ4, gzip, xz or zstd",
                static_cast<unsigned>(payload[0]), static_cast<unsigned>(payload[1]),
                static_cast<unsigned>(payload[2]), static_cast<unsigned>(payload[3]));
  }
  const std::uint64_t size = *load<std::uint32_t>(payload, payload.size() - kTrailer);
  if (size == 0 || size > kMaxKernelBytes) {
    return fail("its payload announces a kernel of {} bytes: damaged or truncated", size);
  }
  Bytes kernel(size);
  GB_TRY(format->decompress(payload, kernel.span()));
  return kernel;
}

}  // namespace glassbox::boot
