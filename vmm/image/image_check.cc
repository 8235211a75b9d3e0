#include "vmm/image/image_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "vmm/base/unique_fd.h"

namespace glassbox {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kHeaderBytes = 110;  // six characters of magic, 13 fields of 8 hexadecimal digits
constexpr int kFileSizeField = 6;
constexpr int kNameSizeField = 11;
constexpr std::string_view kTrailer = "TRAILER!!!";
// The first bytes of the formats that Linux unpacks (lib/decompress.c): gzip (two), bzip2, lzma, xz, lzo,
// lz4, zstd.
constexpr std::array<std::string_view, 8> kCompressed = {"\37\213",  "\37\236", "BZ",   "\135\0"sv,
                                                         "\3757zXZ", "\211LZO", "\2!L", "(\265"};

std::uint64_t align4(std::uint64_t n) {
  return (n + 3) / 4 * 4;
}

std::optional<std::uint32_t> field(std::string_view header, int index) {
  const char* first = header.data() + 6 + index * 8;
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(first, first + 8, value, 16);
  if (error != std::errc() || end != first + 8) return std::nullopt;
  return value;
}

}  // namespace

Status check_image(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) < 0) return fail_errno(errno, "cannot read the image {}", path);
  if (!S_ISREG(info.st_mode) || info.st_size == 0)
    return fail("the image {} is empty or not a regular file", path);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  std::array<char, kHeaderBytes + kTrailer.size()> bytes{};
  for (std::uint64_t at = 0; at < size;) {
    const ssize_t got = ::pread(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (got < 0) return fail_errno(errno, "cannot read the image {}", path);
    const std::string_view header(bytes.data(), static_cast<std::size_t>(got));
    if (!std::string_view("07070").starts_with(header.substr(0, 5))) {
      // The kernel checks a compressed segment itself.
      const bool known = std::any_of(kCompressed.begin(), kCompressed.end(),
                                     [header](std::string_view magic) { return header.starts_with(magic); });
      if (at == 0 && !known)
        return fail("the image {} is not an initramfs: expected a cpio archive, plain or compressed", path);
      return {};
    }
    const auto file_size =
        got >= static_cast<ssize_t>(kHeaderBytes) ? field(header, kFileSizeField) : std::nullopt;
    const auto name_size = file_size ? field(header, kNameSizeField) : std::nullopt;
    const std::uint64_t next =
        name_size ? align4(align4(at + kHeaderBytes + *name_size) + *file_size) : size + 4;
    const bool trailer =
        header.substr(std::min<std::size_t>(header.size(), kHeaderBytes)).starts_with(kTrailer);
    if (trailer) return {};
    if (next >= size) break;  // even the last file is followed by the trailer
    at = next;
  }
  return fail("the image {} is truncated: make it again (cmake --build build --target guest-image)", path);
}

}  // namespace glassbox
