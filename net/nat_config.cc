#include "net/nat_config.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "net/address_text.h"

namespace glassbox::net {
namespace {

// Takes the text up to the separator off `text`, and the separator with it; all of it if there is none.
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
    return fail("'{}' is not a port: use a number from 1 to 65535", text);
  }
  return static_cast<std::uint16_t>(port);
}

bool has_bits_beyond(const IpAddress& address, unsigned prefix) {
  const auto beyond = [](std::uint64_t half, unsigned bits) {
    return bits < 64 && (half & (~std::uint64_t{0} >> bits)) != 0;
  };
  return beyond(address.hi, std::min(prefix, 64U)) || beyond(address.lo, std::max(prefix, 64U) - 64);
}

}  // namespace

std::string host_side_of(const PublishedPort& port) {
  return fmt::format("{}{}", to_text(port.address, port.host_port), port.udp ? "/udp" : "");
}

Result<IpAddress> parse_address(std::string_view text) {
  const auto address = ip_from_text(text);
  if (!address) return fail("'{}' is not an IPv4 or IPv6 address", text);
  return *address;
}

Result<Cidr> parse_cidr(std::string_view text) {
  Cidr cidr;
  const bool has_prefix = text.find('/') != std::string_view::npos;
  std::string_view rest = text;
  GB_ASSIGN(cidr.network, parse_address(take_until(rest, '/')));
  const unsigned bits = cidr.network.is_v4() ? 32 : 128;
  if (has_prefix) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), cidr.prefix);
    if (error != std::errc() || end != rest.data() + rest.size() || cidr.prefix > bits) {
      return fail("'{}' is not a network: its prefix must be 0 to {}", text, bits);
    }
    cidr.prefix += 128 - bits;
  }
  if (has_bits_beyond(cidr.network, cidr.prefix)) {
    return fail("'{}' is not a network: the bits beyond the prefix must be 0", text);
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
  const bool bracketed = text.starts_with('[') && text.find("]:") != std::string_view::npos;
  if (bracketed) {
    rest.remove_prefix(1);
    GB_ASSIGN(published.address, parse_address(take_until(rest, ']')));
    if (published.address.is_v4()) return fail("'{}': write an IPv4 address without brackets", text);
    rest.remove_prefix(1);
  }
  const auto colons = std::count(rest.begin(), rest.end(), ':');
  if (colons != 1 && (colons != 2 || bracketed)) {
    return fail("'{}' is not [ADDRESS:]HOSTPORT:PORT[/udp] (an IPv6 address in brackets)", text);
  }
  if (colons == 2) {
    GB_ASSIGN(published.address, parse_address(take_until(rest, ':')));
  }
  GB_ASSIGN(published.host_port, parse_port(take_until(rest, ':')));
  GB_ASSIGN(published.guest_port, parse_port(rest));
  return published;
}

}  // namespace glassbox::net
