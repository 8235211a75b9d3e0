#include "vmm/image/image_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "vmm/base/unique_fd.h"
#include "vmm/image/cpio_reader.h"

namespace glassbox {
namespace {

using namespace std::string_view_literals;

// The first bytes of the formats that Linux unpacks (lib/decompress.c): gzip (two), bzip2, lzma, xz, lzo,
// lz4, zstd.
constexpr std::array<std::string_view, 8> kCompressed = {"\37\213",  "\37\236", "BZ",   "\135\0"sv,
                                                         "\3757zXZ", "\211LZO", "\2!L", "(\265"};
constexpr std::string_view kModulesFolder = "lib/modules/";
constexpr std::string_view kModuleList = "etc/glassbox/modules";
constexpr std::uint64_t kPageBytes = 4096;
constexpr unsigned kMaxLinks = 16;  // followed in one path, where Linux follows 40
// What a kernel keeps for itself: its code and data (Debian's cloud kernel 6.1: 42 MiB), and a 64th of all
// memory for the description of its pages.
constexpr std::uint64_t kLeastKernelBytes = 24 << 20;
constexpr std::uint64_t kMostKernelBytes = 64 << 20;

std::uint64_t memory_mib(const ImageContents& contents, std::uint64_t kernel_bytes) {
  const std::uint64_t bytes = 2 * contents.unpacked_bytes + contents.image_bytes + kernel_bytes;
  return (bytes + bytes / 63) / (1 << 20) + 1;
}

void take_entry(const CpioEntry& entry, ImageContents& contents) {
  if (S_ISREG(entry.mode)) contents.unpacked_bytes += (entry.size + kPageBytes - 1) / kPageBytes * kPageBytes;
  if (S_ISDIR(entry.mode)) {
    contents.folders.insert(entry.name);
    contents.links.erase(entry.name);
  }
  if (S_ISLNK(entry.mode)) contents.links[entry.name] = entry.link;
  if (entry.name == kModuleList) contents.lists_modules = true;
  std::string_view path = entry.name;
  if (path.starts_with("usr/")) path.remove_prefix(4);
  if (!path.starts_with(kModulesFolder)) return;
  path.remove_prefix(kModulesFolder.size());
  contents.module_releases.emplace(path.substr(0, path.find('/')));
}

Status check_compressed(int fd, const std::string& path) {
  std::array<char, 8> bytes{};
  const ssize_t got = ::pread(fd, bytes.data(), bytes.size(), 0);
  const std::string_view head(bytes.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  const bool known = std::any_of(kCompressed.begin(), kCompressed.end(),
                                 [head](std::string_view magic) { return head.starts_with(magic); });
  if (!known)
    return fail("the image {} is not an initramfs: expected a cpio archive, plain or compressed", path);
  return {};
}

}  // namespace

std::string ImageContents::resolve(std::string_view path) const {
  std::string done;
  std::string rest(path);
  for (unsigned followed = 0; !rest.empty();) {
    const std::size_t slash = rest.find('/');
    const std::string name = rest.substr(0, slash);
    rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      const std::size_t up = done.rfind('/');
      done.resize(up == std::string::npos ? 0 : up);
      continue;
    }
    const std::string here = done.empty() ? name : done + "/" + name;
    const auto link = links.find(here);
    if (link == links.end() || ++followed > kMaxLinks) {
      done = here;
      continue;
    }
    if (link->second.starts_with('/')) done.clear();
    rest = link->second + "/" + rest;
  }
  return done;
}

Result<ImageContents> inspect_image(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) < 0) return fail_errno(errno, "cannot read the image {}", path);
  if (!S_ISREG(info.st_mode) || info.st_size == 0)
    return fail("the image {} is empty or not a regular file", path);
  ImageContents contents;
  contents.image_bytes = static_cast<std::uint64_t>(info.st_size);
  const auto end = walk_cpio(fd.get(), [&](const CpioEntry& entry) { take_entry(entry, contents); });
  if (!end && end.error().code != 0) return fail("the image {} {}", path, end.error().message);
  if (!end)
    return fail("the image {} is truncated: make it again (cmake --build build --target guest-image)", path);
  if (!end->is_cpio) GB_TRY(check_compressed(fd.get(), path));
  contents.known = !end->has_rest;  // the kernel's decompressor checks the rest itself
  return contents;
}

Status check_image(const std::string& path) {
  GB_TRY(inspect_image(path));
  return {};
}

std::uint64_t memory_needed_mib(const ImageContents& contents) {
  return memory_mib(contents, kLeastKernelBytes);
}

std::uint64_t memory_enough_mib(const ImageContents& contents) {
  return memory_mib(contents, kMostKernelBytes);
}

}  // namespace glassbox
