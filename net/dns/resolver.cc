#include "net/dns/resolver.h"

#include <fcntl.h>

#include <algorithm>

#include "net/address_text.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

NameServers name_servers_of(std::string_view text) {
  constexpr std::string_view kKeyword = "nameserver";
  constexpr std::string_view kBlank = " \t\r";
  NameServers servers;
  while (!text.empty() && servers.count < NameServers::kMax) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(kKeyword)) continue;
    line.remove_prefix(kKeyword.size());
    const std::size_t start = line.find_first_not_of(kBlank);
    if (start == 0 || start == std::string_view::npos) continue;
    line = line.substr(start, line.find_first_of(kBlank, start) - start);
    if (const auto address = ip_from_text(line)) servers.addresses.at(servers.count++) = *address;
  }
  return servers;
}

Resolver::Resolver(std::span<const IpAddress> named) : named_(!named.empty()) {
  servers_.count = std::min(named.size(), NameServers::kMax);
  std::copy_n(named.begin(), servers_.count, servers_.addresses.begin());
}

// If the file cannot be read, the servers stay as they are.
void Resolver::refresh(std::uint64_t now_ns) {
  if (named_ || (read_ns_ != 0 && now_ns - read_ns_ < kFreshNs)) return;
  read_ns_ = now_ns;
  const UniqueFd fd(::open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> text;
  const ssize_t n = fd ? ::read(fd.get(), text.data(), text.size()) : -1;
  if (n < 0) return;
  const NameServers found = name_servers_of({text.data(), static_cast<std::size_t>(n)});
  if (found != servers_) {
    servers_ = found;
    ++version_;
  }
}

}  // namespace glassbox::net
