// Kernels and initrds: what is loaded where, and that no truncated or hostile image does worse than an error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>
#include <random>

#include "kernel_builder.h"
#include "temp_dir.h"
#include "vmm/boot/bzimage.h"
#include "vmm/boot/decompress.h"
#include "vmm/boot/elf.h"
#include "vmm/boot/entry.h"
#include "vmm/boot/loader.h"
#include "vmm/boot/memory_map.h"
#include "vmm/machine/layout.h"

namespace glassbox::boot {
namespace {

using test::ByteVector;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t kMemory = 64 << 20;

GuestMemory guest_memory(std::uint64_t size = kMemory) {
  auto memory = GuestMemory::create(size);
  if (!memory) throw std::runtime_error(memory.error().message);
  return std::move(*memory);
}

ByteVector some_code() {
  return test::bytes({0xF4, 0xEB, 0xFD, 1, 2, 3, 4, 5, 6, 7});
}

void append_size(ByteVector& payload, std::size_t size) {
  test::store(payload, payload.size(), static_cast<std::uint32_t>(size));
}

ByteVector lz4_payload(const ByteVector& plain) {
  ByteVector out = test::bytes({0x02, 0x21, 0x4C, 0x18});
  ByteVector block(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(plain.size()))));
  const int size =
      LZ4_compress_default(reinterpret_cast<const char*>(plain.data()), reinterpret_cast<char*>(block.data()),
                           static_cast<int>(plain.size()), static_cast<int>(block.size()));
  block.resize(static_cast<std::size_t>(size));
  test::store(out, 4, static_cast<std::uint32_t>(size));
  out.insert(out.end(), block.begin(), block.end());
  append_size(out, plain.size());
  return out;
}

ByteVector zstd_payload(const ByteVector& plain) {
  ByteVector out(ZSTD_compressBound(plain.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 3));
  append_size(out, plain.size());
  return out;
}

ByteVector xz_payload(const ByteVector& plain) {
  ByteVector out(lzma_stream_buffer_bound(plain.size()));
  std::size_t size = 0;
  EXPECT_EQ(LZMA_OK, lzma_easy_buffer_encode(
                         6, LZMA_CHECK_CRC32, nullptr, reinterpret_cast<const std::uint8_t*>(plain.data()),
                         plain.size(), reinterpret_cast<std::uint8_t*>(out.data()), &size, out.size()));
  out.resize(size);
  append_size(out, plain.size());
  return out;
}

ByteVector gzip_payload(const ByteVector& plain) {
  z_stream stream = {};
  EXPECT_EQ(Z_OK, deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY));
  ByteVector out(deflateBound(&stream, plain.size()));
  ByteVector in = plain;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(Z_STREAM_END, deflate(&stream, Z_FINISH));
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

struct Codec {
  const char* name;
  ByteVector (*compress)(const ByteVector&);
};
class EveryCodec : public ::testing::TestWithParam<Codec> {};
INSTANTIATE_TEST_SUITE_P(Boot, EveryCodec,
                         ::testing::Values(Codec{"lz4", lz4_payload}, Codec{"zstd", zstd_payload},
                                           Codec{"xz", xz_payload}, Codec{"gzip", gzip_payload}),
                         [](const auto& codec) { return codec.param.name; });

TEST_P(EveryCodec, KernelInBzImageLoads) {
  const ByteVector kernel = test::elf_kernel(some_code());
  const GuestMemory memory = guest_memory();
  const auto loaded = load_kernel_image(test::bzimage(GetParam().compress(kernel)), memory);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->protocol, Protocol::kPvh);
  EXPECT_EQ(loaded->entry, test::kLoadAddress);
  const auto code = memory.slice(test::kLoadAddress, some_code().size());
  ASSERT_TRUE(code);
  EXPECT_EQ(ByteVector(code->begin(), code->end()), some_code());
}

TEST_P(EveryCodec, TruncatedPayloadIsAnError) {
  ByteVector kernel = test::elf_kernel(some_code());
  std::minstd_rand random(1);
  for (int i = 0; i < 3000; ++i)
    kernel.push_back(static_cast<std::byte>(random() % 64));
  const ByteVector payload = GetParam().compress(kernel);
  for (std::size_t size = 0; size < payload.size(); size += 7) {
    EXPECT_FALSE(decompress_kernel(ByteView(payload).first(size))) << size << " of " << payload.size();
  }
}

TEST_P(EveryCodec, DamagedPayloadNeverReadsBeyondItself) {
  const ByteVector kernel = test::elf_kernel(some_code());
  const ByteVector good = GetParam().compress(kernel);
  std::minstd_rand random(2);
  for (int round = 0; round < 3000; ++round) {
    ByteVector bad = good;
    for (int i = 0; i < 3; ++i)
      bad[random() % (bad.size() - 4)] = static_cast<std::byte>(random());
    (void)decompress_kernel(bad);  // an error or not; a sanitizer would object to more
  }
}

TEST(Decompress, NamesWhatItFound) {
  const auto result = decompress_kernel(ByteVector(64, std::byte{0x42}));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("42 42 42 42"));
}

TEST(Decompress, HugeAnnouncedSizeIsRefused) {
  ByteVector payload = lz4_payload(test::elf_kernel(some_code()));
  payload.resize(payload.size() - 4);
  append_size(payload, 0xFFFF'FFF0);
  EXPECT_FALSE(decompress_kernel(payload));
}

TEST(Elf, MemoryBeyondTheFileCounts) {
  const auto kernel = parse_elf_kernel(test::elf_kernel(some_code(), true, 0x5000));
  ASSERT_TRUE(kernel) << kernel.error().message;
  EXPECT_EQ(kernel->end(), test::kLoadAddress + some_code().size() + 0x5000);
}

TEST(Elf, WithoutPvhNoteIsEnteredBy64BitProtocol) {
  const GuestMemory memory = guest_memory();
  const auto loaded = load_kernel_image(test::elf_kernel(some_code(), false), memory);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->protocol, Protocol::kLinux64);
}

TEST(Elf, EveryTruncationIsAnError) {
  const ByteVector kernel = test::elf_kernel(some_code());
  for (std::size_t size = 0; size < kernel.size(); ++size) {
    EXPECT_FALSE(parse_elf_kernel(ByteView(kernel).first(size))) << size;
  }
}

TEST(Elf, DamagedHeadersNeverLoadOutsideOfMemory) {
  const ByteVector good = test::elf_kernel(some_code());
  const GuestMemory memory = guest_memory();
  std::minstd_rand random(3);
  for (int round = 0; round < 20'000; ++round) {
    ByteVector bad = good;
    for (int i = 0; i < 4; ++i)
      bad[random() % 0x120] = static_cast<std::byte>(random() % 2 ? 0xFF : random());
    (void)load_kernel_image(bad, memory);
  }
}

TEST(Elf, SegmentAtTheEndOfAddressSpaceIsRefused) {
  ByteVector kernel = test::elf_kernel(some_code());
  const std::uint64_t address = ~std::uint64_t{0} - 3;
  test::store(kernel, sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_paddr), address);
  EXPECT_FALSE(load_kernel_image(kernel, guest_memory()));
}

TEST(BzImage, EveryTruncationIsAnError) {
  const ByteVector image = test::bzimage(lz4_payload(test::elf_kernel(some_code())));
  const GuestMemory memory = guest_memory();
  for (std::size_t size = 0; size < image.size(); ++size) {
    EXPECT_FALSE(load_kernel_image(ByteView(image).first(size), memory)) << size;
  }
}

TEST(BzImage, TruncationIsNamed) {
  const ByteVector image = test::bzimage(ByteVector(4096));
  const auto payload = bzimage_payload(ByteView(image).first(3000));
  ASSERT_FALSE(payload);
  EXPECT_THAT(payload.error().message, HasSubstr("truncated"));
}

TEST(Loader, KernelThatDoesNotFitSaysSo) {
  const GuestMemory memory = guest_memory();
  const auto loaded = load_kernel_image(test::elf_kernel(some_code(), true, 200 << 20), memory);
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, HasSubstr("--memory"));
}

class Files : public ::testing::Test {
 protected:
  std::filesystem::path write(const char* name, const ByteVector& contents) {
    std::ofstream(dir_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(contents.data()), static_cast<std::streamsize>(contents.size()));
    return dir_ / name;
  }
  test::TempDir temp_;
  const std::filesystem::path& dir_ = temp_.path();
};

TEST_F(Files, MissingAndEmptyFilesAreNamed) {
  const GuestMemory memory = guest_memory();
  const auto missing = load_kernel(dir_ / "nowhere", memory);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("cannot open kernel " + (dir_ / "nowhere").string()));
  const auto empty = load_initrd(write("empty", {}), memory, 0);
  ASSERT_FALSE(empty);
  EXPECT_THAT(empty.error().message, HasSubstr("is empty"));
  const auto directory = load_kernel(dir_, memory);
  ASSERT_FALSE(directory);
  EXPECT_THAT(directory.error().message, HasSubstr("not a regular file"));
}

TEST_F(Files, InitrdEndsUpPageAlignedAtTheTop) {
  const GuestMemory memory = guest_memory();
  const ByteVector contents = ByteVector(5000, std::byte{0x5A});
  const auto initrd = load_initrd(write("initrd", contents), memory, 0x20'0000);
  ASSERT_TRUE(initrd) << initrd.error().message;
  EXPECT_EQ(initrd->address, kMemory - 8192);
  EXPECT_EQ(initrd->size, 5000U);
  EXPECT_EQ(memory.read<std::uint8_t>(initrd->address + 4999), 0x5A);
}

TEST_F(Files, InitrdThatMeetsTheKernelIsRefused) {
  const GuestMemory memory = guest_memory();
  const auto initrd = load_initrd(write("initrd", ByteVector(5000)), memory, kMemory - 4096);
  ASSERT_FALSE(initrd);
  EXPECT_THAT(initrd.error().message, HasSubstr("--memory"));
}

TEST(MemoryMap, SmallMachine) {
  const auto map = memory_map(guest_memory());
  EXPECT_THAT(map, ElementsAre(MemoryMapEntry{0, 0xA0000, MemoryType::kRam},
                               MemoryMapEntry{0xE0000, 0x20000, MemoryType::kReserved},
                               MemoryMapEntry{0x10'0000, kMemory - 0x10'0000, MemoryType::kRam}));
}

TEST(MemoryMap, MemoryBeyondTheHole) {
  constexpr std::uint64_t kSize = 5ULL << 30;
  auto memory = GuestMemory::create(kSize);
  if (!memory) GTEST_SKIP() << "this machine has less than 5 GiB: " << memory.error().message;
  const auto map = memory_map(*memory);
  ASSERT_EQ(map.size(), 4U);
  EXPECT_EQ(map[2].base + map[2].size, GuestMemory::kHoleStart);
  EXPECT_EQ(map[3],
            (MemoryMapEntry{GuestMemory::kHoleEnd, kSize - GuestMemory::kHoleStart, MemoryType::kRam}));
}

TEST(GuestMemorySlices, NothingReachesOutside) {
  const GuestMemory memory = guest_memory();
  EXPECT_TRUE(memory.slice(0, kMemory));
  EXPECT_FALSE(memory.slice(0, kMemory + 1));
  EXPECT_FALSE(memory.slice(kMemory - 1, 2));
  EXPECT_TRUE(memory.slice(kMemory, 0));
  EXPECT_FALSE(memory.slice(1, ~std::uint64_t{0}));
  EXPECT_FALSE(memory.slice(~std::uint64_t{0}, 2));
  EXPECT_FALSE(memory.slice(GuestMemory::kHoleStart, 1));
}

TEST(GuestMemorySlices, MoreThanTheMachineHasIsRefused) {
  const auto memory = GuestMemory::create(1ULL << 46);
  ASSERT_FALSE(memory);
  EXPECT_THAT(memory.error().message, HasSubstr("more than"));
}

TEST(HandoverTest, CommandLineLimitIsTheKernels) {
  const GuestMemory memory = guest_memory();
  Handover handover;
  const std::string most(layout::kCommandLineMax - 1, 'x');
  handover.command_line = most;
  EXPECT_TRUE(write_handover(handover, memory));
  EXPECT_EQ(memory.read<char>(layout::kCommandLine + most.size()), '\0');
  const std::string more(layout::kCommandLineMax, 'x');
  handover.command_line = more;
  EXPECT_FALSE(write_handover(handover, memory));
}

}  // namespace
}  // namespace glassbox::boot
