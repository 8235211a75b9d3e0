#include "vmm/image/cpio_reader.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

namespace glassbox {
namespace {

constexpr std::uint64_t kHeaderBytes = 110;  // six characters of magic, 13 fields of 8 hexadecimal digits
constexpr int kModeField = 1;
constexpr int kFileSizeField = 6;
constexpr int kNameSizeField = 11;
constexpr std::uint64_t kMaxName = 4096;  // the kernel's limit (PATH_MAX), also of a link's target
constexpr std::string_view kTrailer = "TRAILER!!!";

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

class CpioWalk {
 public:
  CpioWalk(int fd, std::uint64_t size, const std::function<void(const CpioEntry&)>& take)
      : fd_(fd), size_(size), take_(take) {}

  Result<CpioEnd> run() {
    for (;;) {
      GB_ASSIGN(const std::string head, read(at_, 6));
      if (!std::string_view("07070").starts_with(head.substr(0, 5)) || head.empty())
        return CpioEnd{.is_cpio = archives_ > 0 || entries_ > 0, .has_rest = at_ < size_, .rest = at_};
      GB_ASSIGN(const bool more, entry());
      if (more) continue;
      ++archives_;
      GB_TRY(skip_zeros());
      if (at_ >= size_) return CpioEnd{.rest = at_};
    }
  }

 private:
  // Up to `bytes` bytes; fewer at the end of the file.
  Result<std::string> read(std::uint64_t at, std::uint64_t bytes) const {
    std::string text(bytes, '\0');
    const ssize_t got = ::pread(fd_, text.data(), text.size(), static_cast<off_t>(at));
    if (got < 0) return fail_errno(errno, "cannot be read");
    text.resize(static_cast<std::size_t>(got));
    return text;
  }

  // False at the trailer.
  Result<bool> entry() {
    GB_ASSIGN(const std::string header, read(at_, kHeaderBytes));
    if (header.size() < kHeaderBytes) return fail("truncated");
    const auto mode = field(header, kModeField);
    const auto file_size = field(header, kFileSizeField);
    const auto name_size = field(header, kNameSizeField);
    if (!mode || !file_size || !name_size) return fail("truncated");
    const std::uint64_t data = align4(at_ + kHeaderBytes + *name_size);
    const std::uint64_t next = align4(data + *file_size);
    GB_ASSIGN(std::string name, read(at_ + kHeaderBytes, std::min<std::uint64_t>(*name_size, kMaxName)));
    if (name.size() >= kTrailer.size() && name.starts_with(kTrailer)) {
      at_ = std::min(data, size_);
      return false;
    }
    if (next >= size_) return fail("truncated");  // even the last file is followed by the trailer
    CpioEntry found{clean(name), static_cast<mode_t>(*mode), *file_size, {}};
    if (S_ISLNK(found.mode)) {
      GB_ASSIGN(found.link, read(data, std::min<std::uint64_t>(*file_size, kMaxName)));
    }
    take_(found);
    ++entries_;
    at_ = next;
    return true;
  }

  static std::string clean(std::string_view name) {
    name = name.substr(0, name.find('\0'));
    while (name.starts_with('/') || name.starts_with("./"))
      name.remove_prefix(name.starts_with('/') ? 1 : 2);
    return std::string(name);
  }

  Status skip_zeros() {
    while (at_ < size_) {
      GB_ASSIGN(const std::string part, read(at_, 4096));
      if (part.empty()) return fail("truncated");
      const std::size_t other = part.find_first_not_of('\0');
      at_ += other == std::string::npos ? part.size() : other;
      if (other != std::string::npos) return {};
    }
    return {};
  }

  const int fd_;
  const std::uint64_t size_;
  const std::function<void(const CpioEntry&)>& take_;
  std::uint64_t at_ = 0;
  unsigned archives_ = 0;
  std::uint64_t entries_ = 0;
};

}  // namespace

Result<CpioEnd> walk_cpio(int fd, const std::function<void(const CpioEntry&)>& take) {
  struct stat info {};
  if (::fstat(fd, &info) < 0) return fail_errno(errno, "cannot be read");
  return CpioWalk(fd, static_cast<std::uint64_t>(info.st_size), take).run();
}

}  // namespace glassbox
