// DNS messages (RFC 1035, 4), as far as forwarding and caching need them. Pure functions over hostile bytes.
//
// Compression pointers (RFC 1035, 4.1.4) are never followed. A name is compared only in the question, where
// it may not be compressed; elsewhere it is enough to know where it ends. So no loop is possible, and every
// walk is bounded by the message's length, whatever its counts say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace glassbox::net {

inline constexpr std::size_t kDnsHeader = 12;
inline constexpr std::size_t kMaxDnsQuestion = 255 + 4;  // RFC 1035, 2.3.4; type and class
inline constexpr std::size_t kMaxPlainDns = 512;         // RFC 1035, 4.2.1

// Bits of the header's second word.
inline constexpr std::uint16_t kDnsResponse = 0x8000;
inline constexpr std::uint16_t kDnsOpcode = 0x7800;
inline constexpr std::uint16_t kDnsAuthoritative = 0x0400;
inline constexpr std::uint16_t kDnsTruncated = 0x0200;
inline constexpr std::uint16_t kDnsRecursionDesired = 0x0100;
inline constexpr std::uint16_t kDnsRecursionAvailable = 0x0080;
inline constexpr std::uint16_t kDnsAuthenticData = 0x0020;
inline constexpr std::uint16_t kDnsCheckingDisabled = 0x0010;
inline constexpr std::uint16_t kDnsRcode = 0x000f;

enum class DnsRcode : std::uint16_t {
  kNoError = 0,
  kFormatError = 1,
  kServerFailure = 2,
  kNameError = 3,
  kNotImplemented = 4,
  kRefused = 5
};

// Spans point into the message that was parsed.
struct DnsQuery {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  std::span<const std::uint8_t> question;  // name, type, class
  bool edns = false;                       // RFC 6891
  bool dnssec_ok = false;
  bool plain = true;  // nothing in it (EDNS options, TSIG) makes its answer unfit for other clients
  std::uint16_t udp_size = kMaxPlainDns;
};
// Reads a standard query with one question. Nothing if the message is anything else.
[[nodiscard]] std::optional<DnsQuery> parse_dns_query(std::span<const std::uint8_t> message);

struct DnsReply {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  std::span<const std::uint8_t> question;  // empty if the server left it out, as some do with an error
  // How long it may be given to others, in seconds (RFC 2181, 8; RFC 2308, 5); 0: not at all.
  std::uint32_t cache_seconds = 0;

  [[nodiscard]] DnsRcode rcode() const { return static_cast<DnsRcode>(flags & kDnsRcode); }
};
// Reads header and question of a response. If its records are malformed, it is not for the cache.
[[nodiscard]] std::optional<DnsReply> parse_dns_reply(std::span<const std::uint8_t> message);

// Whether the questions are the same, ignoring the case of letters (RFC 4343).
[[nodiscard]] bool same_question(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);
// The byte at `at` of the question as same_question() compares it: letters in lower case.
[[nodiscard]] std::uint8_t folded_question_byte(std::span<const std::uint8_t> question, std::size_t at);

// Subtracts the seconds from the TTL of every record, down to 0.
void age_dns_message(std::span<std::uint8_t> message, std::uint32_t seconds);

}  // namespace glassbox::net
