#include "vmm/image/added_files.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <utility>

#include "tests/unit/vmm/base/temp_dir.h"
#include "vmm/image/boot_image.h"
#include "vmm/image/image_check.h"
#include "vmm/image/kernel_release.h"

namespace glassbox {
namespace {

struct Entry {
  mode_t mode = 0;
  std::string content;
  std::pair<uid_t, gid_t> owner = {};
  dev_t device = 0;
  unsigned links = 0;
  std::int64_t inode = 0;
};

// In order of appearance, and by name.
struct Unpacked {
  std::vector<std::string> order;
  std::map<std::string, Entry> by_name;
};

Unpacked unpack(const std::vector<char>& bytes) {
  Unpacked result;
  archive* a = archive_read_new();
  archive_read_support_format_cpio(a);
  EXPECT_EQ(archive_read_open_memory(a, bytes.data(), bytes.size()), ARCHIVE_OK);
  archive_entry* entry = nullptr;
  while (archive_read_next_header(a, &entry) == ARCHIVE_OK) {
    Entry got{archive_entry_mode(entry),
              std::string(static_cast<std::size_t>(archive_entry_size(entry)), '\0'),
              {archive_entry_uid(entry), archive_entry_gid(entry)},
              archive_entry_rdev(entry),
              archive_entry_nlink(entry),
              archive_entry_ino64(entry)};
    if (archive_entry_symlink(entry) != nullptr) {
      got.content = archive_entry_symlink(entry);
    } else {
      archive_read_data(a, got.content.data(), got.content.size());
    }
    result.order.emplace_back(archive_entry_pathname(entry));
    result.by_name[result.order.back()] = got;
  }
  archive_read_free(a);
  return result;
}

AddedPath parsed(const std::string& argument) {
  auto path = parse_added_path(argument);
  EXPECT_TRUE(path) << argument;
  return path.value_or(AddedPath{});
}

TEST(AddedPath, WhereItGoes) {
  EXPECT_EQ(parsed("/a/b/prog").guest, "/prog");
  EXPECT_EQ(parsed("/a/b/folder/").guest, "/folder");
  EXPECT_EQ(parsed("prog:/bin/x").guest, "/bin/x");
  EXPECT_EQ(parsed("prog:/bin/x").host, "prog");
  EXPECT_EQ(parsed("/a/prog:/bin/").guest, "/bin/prog");
  EXPECT_EQ(parsed("with:colon").host, "with:colon");
  EXPECT_EQ(parsed("./prog").guest, "/prog");
  EXPECT_EQ(parsed("x:/../../etc").guest, "/etc");
}

TEST(AddedPath, Refused) {
  EXPECT_FALSE(parse_added_path(""));
  EXPECT_FALSE(parse_added_path("/"));
}

TEST(AddedFiles, FileWithItsParentsFirstAndItsMode) {
  const test::TempDir dir;
  const std::string file = dir.write("prog", "hello");
  ::chmod(file.c_str(), 0751);
  const AddedPath path{file, "/opt/deep/prog"};
  const auto segment = pack_added_files({&path, 1});
  ASSERT_TRUE(segment);
  EXPECT_EQ(segment->size() % 4, 0U);
  const Unpacked got = unpack(*segment);
  EXPECT_EQ(got.order, (std::vector<std::string>{"opt", "opt/deep", "opt/deep/prog"}));
  EXPECT_EQ(got.by_name.at("opt/deep/prog").content, "hello");
  EXPECT_EQ(got.by_name.at("opt/deep/prog").mode, static_cast<mode_t>(S_IFREG | 0751));
}

TEST(AddedFiles, FolderWithAllThatIsInIt) {
  const test::TempDir dir;
  (void)dir.write("f/b/two", "2");
  (void)dir.write("f/a", "1");
  std::filesystem::create_symlink("../elsewhere", dir.path() / "f/link");
  const AddedPath path{(dir.path() / "f").string(), "/f"};
  const auto segment = pack_added_files({&path, 1});
  ASSERT_TRUE(segment);
  const Unpacked got = unpack(*segment);
  EXPECT_EQ(got.order, (std::vector<std::string>{"f", "f/a", "f/b", "f/b/two", "f/link"}));
  EXPECT_EQ(got.by_name.at("f/link").content, "../elsewhere");
  EXPECT_EQ(got.by_name.at("f/link").mode & S_IFMT, static_cast<mode_t>(S_IFLNK));
}

TEST(AddedFiles, SameContentMakesTheSameBytes) {
  const test::TempDir dir;
  (void)dir.write("f/a", "1");
  (void)dir.write("f/b", "2");
  const AddedPath path{(dir.path() / "f").string(), "/f"};
  const auto first = pack_added_files({&path, 1});
  std::filesystem::last_write_time(dir.path() / "f/a", std::filesystem::file_time_type::clock::now());
  EXPECT_EQ(*first, *pack_added_files({&path, 1}));
}

TEST(AddedFiles, ErrorsNameTheFile) {
  const test::TempDir dir;
  const AddedPath missing{"/no/such/file", "/x"};
  const auto result = pack_added_files({&missing, 1});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("/no/such/file"), std::string::npos);
}

// As tar would bring it: a FIFO, a file with two names, and the owner.
TEST(AddedFiles, SpecialFilesHardLinksAndOwnersAreKept) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
  const test::TempDir dir;
  const std::string file = dir.write("f/a", "content");
  std::filesystem::create_hard_link(file, dir.path() / "f/b");
  ASSERT_EQ(::mkfifo((dir.path() / "f/fifo").c_str(), 0620), 0);
  ASSERT_EQ(::mknod((dir.path() / "f/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(::chmod((dir.path() / "f/fifo").c_str(), 0620), 0);  // whatever the umask
  ASSERT_EQ(::chmod((dir.path() / "f/null").c_str(), 0666), 0);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (dir.path() / "f/socket").string().copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ::close(socket);
  ASSERT_EQ(::chown(file.c_str(), 33, 44), 0);
  ASSERT_EQ(::chown((dir.path() / "f").c_str(), 55, 66), 0);
  const AddedPath path{(dir.path() / "f").string(), "/f"};
  const auto segment = pack_added_files({&path, 1});
  ASSERT_TRUE(segment) << segment.error().message;
  const Unpacked got = unpack(*segment);
  EXPECT_EQ(got.order, (std::vector<std::string>{"f", "f/a", "f/b", "f/fifo", "f/null"}));
  EXPECT_EQ(got.by_name.at("f/fifo").mode, static_cast<mode_t>(S_IFIFO | 0620));
  EXPECT_EQ(got.by_name.at("f/null").mode, static_cast<mode_t>(S_IFCHR | 0666));
  EXPECT_EQ(got.by_name.at("f/null").device, makedev(1, 3));
  EXPECT_EQ(got.by_name.at("f/a").content, "content");
  EXPECT_EQ(got.by_name.at("f/a").links, 2U);
  EXPECT_EQ(got.by_name.at("f/b").links, 2U);
  EXPECT_EQ(got.by_name.at("f/b").content, "");
  EXPECT_EQ(got.by_name.at("f/a").inode, got.by_name.at("f/b").inode);
  EXPECT_EQ(got.by_name.at("f/a").owner, (std::pair<uid_t, gid_t>(33, 44)));
  EXPECT_EQ(got.by_name.at("f").owner, (std::pair<uid_t, gid_t>(55, 66)));
}

// An image with /bin -> usr/bin: a folder entry for /bin would replace the link by an empty folder.
TEST(AddedFiles, LinksOfTheImageOnTheWayAreFollowed) {
  const test::TempDir dir;
  ImageContents image;
  image.folders = {"usr", "usr/bin", "etc"};
  image.links = {{"bin", "usr/bin"}, {"sbin", "/usr/sbin"}, {"loop", "loop"}};
  const std::string file = dir.write("x", "1");
  (void)dir.write("tree/bin/y", "2");
  const std::vector<AddedPath> paths = {
      {file, "/bin/x"}, {file, "/sbin/x"}, {(dir.path() / "tree").string(), "/"}};
  const auto segment = pack_added_files(paths, image);
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_EQ(unpack(*segment).order,
            (std::vector<std::string>{"usr/bin/x", "usr/sbin", "usr/sbin/x", "usr/bin/y"}));
  EXPECT_EQ(image.resolve("loop/x"), "loop/x");
  EXPECT_EQ(image.resolve("bin/../../etc"), "etc");
}

class BootImageTest : public testing::Test {
 protected:
  // An image with these files, packed as added files are.
  std::string image(const std::string& name) {
    const AddedPath all{(dir_.path() / name).string(), "/"};
    const auto bytes = pack_added_files({&all, 1});
    EXPECT_TRUE(bytes);
    return dir_.write(name + ".cpio", std::string(bytes->begin(), bytes->end()));
  }
  std::string bzimage(const std::string& release) {
    std::string bytes(0x600, '\0');
    bytes.replace(0x202, 4, "HdrS");
    bytes[0x20F] = 2;  // the version lies at 0x400
    return dir_.write("bzimage", bytes.replace(0x400, release.size(), release));
  }
  static std::string content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  test::TempDir dir_;
};

TEST_F(BootImageTest, AnImageAloneIsTheFileItself) {
  (void)dir_.write("i/a", "1");
  const std::string initrd = image("i");
  const auto made =
      make_boot_image({.kernel = bzimage("6.1.0"), .initrd = initrd, .added = {}, .memory_mib = 512});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->path, initrd);
  EXPECT_FALSE(made->copy);
}

TEST_F(BootImageTest, AddedFilesFollowOnAWord) {
  const AddedPath path{dir_.write("x", "y"), "/x"};
  const std::string initrd = dir_.write("initrd", std::string("\x28\xb5\x2f\xfd") + "1");
  const auto made = make_boot_image({.kernel = "", .initrd = initrd, .added = {path}, .memory_mib = 512});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(content(made->path).substr(4, 10), std::string("1\0\0\0"
                                                           "070701",
                                                           10));
  EXPECT_FALSE(make_boot_image({.kernel = "", .initrd = "/no/such", .added = {path}, .memory_mib = 512}));
}

// The guest's root holds half of its memory: what does not fit would be cut short, and nothing would say so.
TEST_F(BootImageTest, FilesThatTheGuestsMemoryCannotHoldAreRefusedAndTheRemedyWorks) {
  (void)dir_.write("i/a", "1");
  const std::string initrd = image("i");
  const std::string big = dir_.write("big", "");
  std::filesystem::resize_file(big, 50 << 20);
  BootImageSpec spec{.kernel = "", .initrd = initrd, .added = {{big, "/big"}}, .memory_mib = 128};
  const auto refused = make_boot_image(spec);
  ASSERT_FALSE(refused);
  const std::size_t at = refused.error().message.rfind("--memory ");
  ASSERT_NE(at, std::string::npos) << refused.error().message;
  spec.memory_mib = std::stoul(refused.error().message.substr(at + 9));
  EXPECT_GT(spec.memory_mib, 150U);
  EXPECT_LT(spec.memory_mib, 250U);
  EXPECT_TRUE(make_boot_image(spec));
}

TEST_F(BootImageTest, ModulesOfAnotherKernelArePackedUncompressedFromNextToIt) {
  (void)dir_.write("i/etc/glassbox/modules", "/lib/modules/6.1.0/a.ko\n");
  (void)dir_.write("i/lib/modules/6.1.0/a.ko", "old");
  const std::string initrd = image("i");
  const std::string kernel = bzimage("6.12.0-rt-amd64 (debian) #1");
  const BootImageSpec spec{.kernel = kernel, .initrd = initrd, .added = {}, .memory_mib = 512};
  EXPECT_NE(kernel_misfit(spec).find("6.1.0"), std::string::npos) << kernel_misfit(spec);
  EXPECT_NE(kernel_misfit(spec).find("6.12.0-rt-amd64"), std::string::npos);

  const std::string modules = "modules/6.12.0-rt-amd64/";
  (void)dir_.write(modules + "modules.dep",
                   "k/virtio_net.ko.xz: k/failover.ko\nk/failover.ko:\nk/other.ko:\n");
  (void)dir_.write(modules + "k/failover.ko", "failover");
  (void)dir_.write(modules + "k/virtio_net.ko", "the content of virtio_net");
  ASSERT_EQ(std::system(("xz " + (dir_.path() / modules / "k/virtio_net.ko").string()).c_str()), 0);
  EXPECT_EQ(kernel_misfit(spec), "");
  const auto made = make_boot_image(spec);
  ASSERT_TRUE(made) << made.error().message;
  const std::string bytes = content(made->path).substr(std::filesystem::file_size(initrd));
  const Unpacked got = unpack({bytes.begin(), bytes.end()});
  EXPECT_EQ(got.by_name.at("etc/glassbox/modules").content,
            "/lib/modules/6.12.0-rt-amd64/k/failover.ko\n/lib/modules/6.12.0-rt-amd64/k/virtio_net.ko\n");
  EXPECT_EQ(got.by_name.at("lib/modules/6.12.0-rt-amd64/k/virtio_net.ko").content,
            "the content of virtio_net");
  EXPECT_EQ(got.by_name.count("lib/modules/6.12.0-rt-amd64/k/other.ko"), 0U);
}

TEST_F(BootImageTest, AnImageWithItsOwnWayToLoadModulesIsNotJudged) {
  (void)dir_.write("i/init", "#!/bin/sh");
  EXPECT_EQ(
      kernel_misfit({.kernel = bzimage("6.12.0 x"), .initrd = image("i"), .added = {}, .memory_mib = 512}),
      "");
}

TEST_F(BootImageTest, TheReleaseOfAKernelIsThatOfItsHeaderOrBanner) {
  EXPECT_EQ(kernel_release(bzimage("6.1.0-57-cloud-amd64 (x) #1")), "6.1.0-57-cloud-amd64");
  EXPECT_EQ(kernel_release(bzimage("\x1b[2J x")), "?[2J");
  std::string elf = "\177ELF" + std::string((1 << 20) - 8, ' ');
  elf += "Linux version %s (%s) ";
  elf += std::string(100, ' ') + "Linux version 6.13.0-own (me@here) #1";
  EXPECT_EQ(kernel_release(dir_.write("elf", elf)), "6.13.0-own");
  EXPECT_EQ(kernel_release(dir_.write("none", "text")), "");
  EXPECT_EQ(kernel_release("/no/such/kernel"), "");
}

TEST(CheckImage, EveryTruncationOfAnArchiveIsSeen) {
  const test::TempDir dir;
  (void)dir.write("f/a", "some content");
  (void)dir.write("f/b", "");
  const AddedPath path{(dir.path() / "f").string(), "/f"};
  const auto segment = pack_added_files({&path, 1});
  ASSERT_TRUE(segment);
  const std::string whole(segment->begin(), segment->end());
  EXPECT_TRUE(check_image(dir.write("whole", whole)));
  const std::size_t trailer = whole.rfind("TRAILER!!!");
  for (std::size_t size = 0; size < trailer; size += 7) {
    EXPECT_FALSE(check_image(dir.write("cut", whole.substr(0, size)))) << size;
  }
  EXPECT_TRUE(check_image(dir.write("compressed", "\x28\xb5\x2f\xfd")));
  EXPECT_TRUE(check_image(dir.write("xz", "\3757zXZ")));
  EXPECT_FALSE(check_image(dir.write("foreign", "root:x:0:0:root:/root:/bin/bash\n")));
  EXPECT_FALSE(check_image("/no/such/image"));
}

}  // namespace
}  // namespace glassbox
