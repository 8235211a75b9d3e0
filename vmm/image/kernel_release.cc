#include "vmm/image/kernel_release.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "vmm/base/printable.h"
#include "vmm/base/unique_fd.h"

namespace glassbox {
namespace {

constexpr std::size_t kHeaderMagicAt = 0x202;
constexpr std::size_t kVersionPointerAt = 0x20E;  // 16 bits, from 0x200
constexpr std::size_t kHeadBytes = 64 * 1024;
constexpr std::size_t kMaxRelease = 64;  // the kernel's own limit
constexpr std::size_t kPartBytes = 1 << 20;
constexpr off_t kSearchedBytes = 512 << 20;
constexpr std::string_view kBanner = "Linux version ";

std::string read_part(int fd, off_t at, std::size_t bytes) {
  std::string text(bytes, '\0');
  const ssize_t got = ::pread(fd, text.data(), text.size(), at);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

// The first word.
std::string release_at(std::string_view text) {
  text = text.substr(0, kMaxRelease + 1);
  const std::size_t end = std::min(text.find(' '), text.find('\0'));
  return end == 0 || end >= text.size() ? std::string() : printable(text.substr(0, end));
}

std::string release_of_elf(int fd) {
  // Parts overlap, so that a banner that lies across two is whole in one.
  constexpr off_t kOverlap = 256;
  for (off_t at = 0; at < kSearchedBytes; at += static_cast<off_t>(kPartBytes) - kOverlap) {
    const std::string part = read_part(fd, at, kPartBytes);
    for (std::size_t found = part.find(kBanner); found != std::string::npos;
         found = part.find(kBanner, found + 1)) {
      std::string release = release_at(std::string_view(part).substr(found + kBanner.size()));
      if (!release.empty() && release[0] != '%') return release;  // not a format string
    }
    if (part.size() < kPartBytes) break;
  }
  return {};
}

}  // namespace

std::string kernel_release(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return {};
  const std::string head = read_part(fd.get(), 0, kHeadBytes);
  if (head.starts_with("\177ELF")) return release_of_elf(fd.get());
  if (head.size() < kVersionPointerAt + 2 || head.compare(kHeaderMagicAt, 4, "HdrS") != 0) return {};
  const auto low = static_cast<unsigned char>(head[kVersionPointerAt]);
  const auto high = static_cast<unsigned char>(head[kVersionPointerAt + 1]);
  const std::size_t at = 0x200 + (std::size_t{high} << 8 | low);
  if (at == 0x200 || at >= head.size()) return {};
  return release_at(std::string_view(head).substr(at));
}

}  // namespace glassbox
