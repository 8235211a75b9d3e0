#include "vmm/image/added_files.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>

#include "tests/unit/vmm/base/temp_dir.h"
#include "vmm/image/image_check.h"

namespace glassbox {
namespace {

struct Entry {
  mode_t mode = 0;
  std::string content;
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
              std::string(static_cast<std::size_t>(archive_entry_size(entry)), '\0')};
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
  const AddedPath fifo{(dir.path() / "fifo").string(), "/x"};
  ASSERT_EQ(::mkfifo(fifo.host.c_str(), 0600), 0);
  EXPECT_FALSE(pack_added_files({&fifo, 1}));
}

TEST(LoadInitrd, SegmentStartsOnAWordBehindTheImage) {
  const test::TempDir dir;
  const std::string initrd = dir.write("initrd", "12345");
  const AddedPath path{dir.write("x", "y"), "/x"};
  const auto alone = load_initrd(initrd, {});
  ASSERT_TRUE(alone);
  EXPECT_EQ(alone->size(), 5U);
  const auto both = load_initrd(initrd, {&path, 1});
  ASSERT_TRUE(both);
  EXPECT_EQ(std::string(both->data(), 8), std::string("12345\0\0\0", 8));
  EXPECT_EQ(std::string(both->data() + 8, 6), "070701");
  EXPECT_FALSE(load_initrd("/no/such/initrd", {}));
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
