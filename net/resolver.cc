#include "net/resolver.h"

#include <fcntl.h>

#include <algorithm>
#include <array>

#include "net/address_text.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

std::optional<IpAddress> first_nameserver(std::string_view text) {
  constexpr std::string_view kKeyword = "nameserver";
  constexpr std::string_view kBlank = " \t\r";
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(kKeyword)) continue;
    line.remove_prefix(kKeyword.size());
    const std::size_t start = line.find_first_not_of(kBlank);
    if (start == 0 || start == std::string_view::npos) continue;
    line = line.substr(start, line.find_first_of(kBlank, start) - start);
    if (const auto address = ip_from_text(line)) return address;
  }
  return std::nullopt;
}

std::optional<IpAddress> Resolver::address(std::uint64_t now_ns) {
  if (read_ns_ != 0 && now_ns - read_ns_ < kFreshNs) return address_;
  read_ns_ = now_ns;
  const UniqueFd fd(::open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> text;
  const ssize_t n = fd ? ::read(fd.get(), text.data(), text.size()) : -1;
  if (n >= 0) address_ = first_nameserver({text.data(), static_cast<std::size_t>(n)});
  return address_;
}

}  // namespace glassbox::net
