#include "net/nat_config.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace glassbox::net {
namespace {

// The text up to the separator, which goes as well; all of it if there is none.
std::string_view take_until(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

Result<std::uint16_t> parse_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0 || port > 65535) {
    return fail("'{}' is not a port (1 to 65535)", text);
  }
  return static_cast<std::uint16_t>(port);
}

}  // namespace

Result<Ipv4> parse_ipv4_address(std::string_view text) {
  in_addr address{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) {
    return fail("'{}' is not an IPv4 address", text);
  }
  return ntohl(address.s_addr);
}

Result<Cidr> parse_cidr(std::string_view text) {
  Cidr cidr;
  const bool has_prefix = text.find('/') != std::string_view::npos;
  std::string_view rest = text;
  GB_ASSIGN(cidr.network, parse_ipv4_address(take_until(rest, '/')));
  if (has_prefix) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), cidr.prefix);
    if (error != std::errc() || end != rest.data() + rest.size() || cidr.prefix > 32) {
      return fail("'{}' is not a network: its prefix is not 0 to 32", text);
    }
  }
  const Ipv4 host_bits = cidr.prefix == 32 ? 0 : ~Ipv4{0} >> cidr.prefix;
  if ((cidr.network & host_bits) != 0) {
    return fail("'{}' is not a network: bits are set beyond the prefix", text);
  }
  return cidr;
}

Result<std::vector<std::uint16_t>> parse_ports(std::string_view text) {
  std::vector<std::uint16_t> ports;
  do {
    GB_ASSIGN(const std::uint16_t port, parse_port(take_until(text, ',')));
    ports.push_back(port);
  } while (!text.empty());
  return ports;
}

Result<PublishedPort> parse_published(std::string_view text) {
  PublishedPort published;
  constexpr std::string_view kUdp = "/udp";
  std::string_view rest = text;
  if (rest.ends_with(kUdp)) {
    published.udp = true;
    rest.remove_suffix(kUdp.size());
  }
  const auto colons = std::count(text.begin(), text.end(), ':');
  if (colons != 1 && colons != 2) return fail("'{}' is not [ADDRESS:]HOSTPORT:PORT[/udp]", text);
  if (colons == 2) {
    GB_ASSIGN(published.address, parse_ipv4_address(take_until(rest, ':')));
  }
  GB_ASSIGN(published.host_port, parse_port(take_until(rest, ':')));
  GB_ASSIGN(published.guest_port, parse_port(rest));
  return published;
}

}  // namespace glassbox::net
