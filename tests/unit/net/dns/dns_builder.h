// DNS messages for tests, put together field by field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/dns/dns_message.h"
#include "net/inet.h"

namespace glassbox::net {

inline std::string be16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}
inline std::string be32(std::uint32_t value) {
  return be16(value >> 16) + be16(value & 0xffff);
}

// "www.example.com"
inline std::string dns_name(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('.'), text.size());
    out += static_cast<char>(end);
    out += text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out + '\0';
}

inline const std::string kToQuestion = "\xc0\x0c";  // a pointer to the question's name
constexpr std::uint16_t kTypeA = 1, kTypeNs = 2, kTypeCname = 5, kTypeSoa = 6, kTypeHttps = 65, kTypeOpt = 41;

inline std::string dns_record(const std::string& name, std::uint16_t type, std::uint32_t ttl,
                              const std::string& data, std::uint16_t klass = 1) {
  return name + be16(type) + be16(klass) + be32(ttl) + be16(static_cast<unsigned>(data.size())) + data;
}
inline std::string dns_soa(const std::string& name, std::uint32_t ttl, std::uint32_t minimum) {
  return dns_record(
      name, kTypeSoa, ttl,
      kToQuestion + dns_name("admin.example") + be32(1) + be32(2) + be32(3) + be32(4) + be32(minimum));
}
inline std::string dns_opt(std::uint16_t size, bool dnssec = false, const std::string& options = {}) {
  return dns_record(std::string(1, '\0'), kTypeOpt, dnssec ? 0x8000 : 0, options, size);
}

struct DnsSpec {
  std::uint16_t id = 0x1234;
  std::uint16_t flags = kDnsRecursionDesired;
  std::string name = "www.example.com";
  std::uint16_t type = kTypeA;
  std::string answer = {}, authority = {}, additional = {};
  unsigned answers = 0, authorities = 0, additionals = 0;
};
inline std::string dns_message(const DnsSpec& s) {
  return be16(s.id) + be16(s.flags) + be16(1) + be16(s.answers) + be16(s.authorities) + be16(s.additionals) +
         dns_name(s.name) + be16(s.type) + be16(1) + s.answer + s.authority + s.additional;
}
inline DnsSpec dns_answer(std::uint32_t ttl, const std::string& address = "\x0a\x01\x02\x03") {
  DnsSpec s;
  s.flags = kDnsResponse | kDnsRecursionDesired | kDnsRecursionAvailable;
  s.answer = dns_record(kToQuestion, kTypeA, ttl, address);
  s.answers = 1;
  return s;
}

inline std::span<const std::uint8_t> octets(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace glassbox::net
