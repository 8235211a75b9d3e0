// Kernels and initrds: what is loaded where, and that no truncated or hostile image does worse than an error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "kernel_builder.h"
#include "tests/unit/vmm/base/temp_dir.h"
#include "vmm/boot/bzimage.h"
#include "vmm/boot/elf.h"
#include "vmm/boot/entry.h"
#include "vmm/boot/loader.h"
#include "vmm/boot/memory_map.h"
#include "vmm/platform/layout.h"

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

// As load_kernel() of a file with this content.
Result<LoadedKernel> load(const ByteVector& content, const GuestMemory& memory) {
  const UniqueFd file(::memfd_create("kernel", MFD_CLOEXEC));
  EXPECT_EQ(::write(file.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
  return load_kernel(fmt::format("/proc/self/fd/{}", file.get()), memory);
}

TEST(Elf, MemoryBeyondTheFileCounts) {
  const auto kernel = parse_elf_kernel(test::elf_kernel(some_code(), true, 0x5000));
  ASSERT_TRUE(kernel) << kernel.error().message;
  EXPECT_EQ(kernel->end(), test::kLoadAddress + some_code().size() + 0x5000);
}

TEST(Elf, WithoutPvhNoteIsEnteredBy64BitProtocol) {
  const GuestMemory memory = guest_memory();
  const auto loaded = load(test::elf_kernel(some_code(), false), memory);
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
    (void)load(bad, memory);
  }
}

TEST(Elf, SegmentAtTheEndOfAddressSpaceIsRefused) {
  ByteVector kernel = test::elf_kernel(some_code());
  const std::uint64_t address = ~std::uint64_t{0} - 3;
  test::store(kernel, sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_paddr), address);
  EXPECT_FALSE(load(kernel, guest_memory()));
}

TEST(BzImage, IsLoadedWhereItWantsToBeAndEnteredBy64BitProtocol) {
  const GuestMemory memory = guest_memory();
  const auto loaded = load(test::bzimage(some_code(), 0x9000), memory);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->protocol, Protocol::kLinux64);
  EXPECT_EQ(loaded->entry, test::kLoadAddress + 0x200);
  EXPECT_EQ(loaded->end, test::kLoadAddress + 0x9000);
  const auto code = memory.slice(test::kLoadAddress, some_code().size());
  ASSERT_TRUE(code);
  EXPECT_EQ(ByteVector(code->begin(), code->end()), some_code());
}

TEST(BzImage, ItsSetupHeaderReachesTheZeroPage) {
  const GuestMemory memory = guest_memory();
  Handover handover;
  const auto loaded = load(test::bzimage(some_code(), 0x9000), memory);
  ASSERT_TRUE(loaded) << loaded.error().message;
  handover.kernel = *loaded;
  handover.command_line = "quiet";
  ASSERT_TRUE(write_handover(handover, memory));
  const auto params = memory.read<boot_params>(layout::kZeroPage);
  ASSERT_TRUE(params);
  // Packed: a plus makes a copy, because a matcher would bind a reference to what is not aligned.
  EXPECT_EQ(+params->hdr.header, 0x5372'6448U);
  EXPECT_EQ(+params->hdr.init_size, 0x9000U);
  EXPECT_EQ(+params->hdr.type_of_loader, 0xFF);
  EXPECT_TRUE(params->hdr.loadflags & LOADED_HIGH);
  EXPECT_EQ(+params->hdr.cmd_line_ptr, layout::kCommandLine);
}

TEST(BzImage, EveryTruncationIsAnError) {
  const ByteVector image = test::bzimage(some_code());
  const GuestMemory memory = guest_memory();
  for (std::size_t size = 0; size < image.size(); ++size) {
    EXPECT_FALSE(load(ByteVector(image.begin(), image.begin() + static_cast<std::ptrdiff_t>(size)), memory))
        << size;
  }
}

TEST(BzImage, DamagedHeadersNeverLoadOutsideOfMemory) {
  const ByteVector good = test::bzimage(ByteVector(5000), 0x9000);
  const GuestMemory memory = guest_memory();
  std::minstd_rand random(4);
  for (int round = 0; round < 20'000; ++round) {
    ByteVector bad = good;
    for (int i = 0; i < 3; ++i)
      bad[0x1F1 + random() % 0x7B] = static_cast<std::byte>(random() % 2 ? 0xFF : random());
    const auto loaded = load(bad, memory);
    if (loaded) {
      EXPECT_LE(loaded->end, kMemory);
    }
  }
}

TEST(BzImage, TruncationIsNamed) {
  ByteVector image = test::bzimage(ByteVector(4096));
  image.resize(3000);
  const auto loaded = load(image, guest_memory());
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, HasSubstr("truncated: 3000 bytes of 5120"));
}

TEST(BzImage, WithoutA64BitEntryIsRefused) {
  ByteVector image = test::bzimage(some_code());
  test::store(image, 0x236, std::uint16_t{0});
  EXPECT_THAT(load(image, guest_memory()).error().message, HasSubstr("without a 64-bit entry"));
  image = test::bzimage(some_code());
  test::store(image, 0x206, std::uint16_t{0x020B});
  EXPECT_THAT(load(image, guest_memory()).error().message, HasSubstr("2.11"));
}

TEST(BzImage, MemoryThatItDecompressesIntoMustBeThere) {
  const auto loaded = load(test::bzimage(some_code(), 200 << 20), guest_memory());
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, HasSubstr("--memory"));
}

TEST(Loader, KernelThatDoesNotFitSaysSo) {
  const GuestMemory memory = guest_memory();
  const auto loaded = load(test::elf_kernel(some_code(), true, 200 << 20), memory);
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
