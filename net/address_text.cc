#include "net/address_text.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace glassbox::net {

std::optional<IpAddress> ip_from_text(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> word{};
  if (text.size() >= word.size()) return std::nullopt;
  std::copy(text.begin(), text.end(), word.begin());
  std::array<std::uint8_t, 16> bytes{};
  if (::inet_pton(AF_INET, word.data(), bytes.data()) == 1)
    return IpAddress::from_v4(load_be32(bytes.data()));
  if (::inet_pton(AF_INET6, word.data(), bytes.data()) == 1) return IpAddress::load(bytes.data());
  return std::nullopt;
}

std::string to_text(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  std::array<std::uint8_t, 16> bytes;
  address.store(bytes.data());
  const bool v4 = address.is_v4();
  ::inet_ntop(v4 ? AF_INET : AF_INET6, bytes.data() + (v4 ? 12 : 0), text.data(), text.size());
  return text.data();
}

std::string to_text(const IpAddress& address, std::uint16_t port) {
  return address.is_v4() ? fmt::format("{}:{}", to_text(address), port)
                         : fmt::format("[{}]:{}", to_text(address), port);
}

std::optional<Endpoint> endpoint_from_text(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view number = text.substr(colon + 1);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = ip_from_text(host);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), port);
  if (error != std::errc() || end != number.data() + number.size()) return std::nullopt;
  // An IPv6 address needs brackets: without them its colons run into that of the port.
  const bool four = host.find(':') == std::string_view::npos;
  if (!address || four == bracketed) return std::nullopt;
  return Endpoint{*address, port};
}

}  // namespace glassbox::net
