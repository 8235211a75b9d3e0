// DNS messages (RFC 1035, 4), as much of them as forwarding and caching needs. Pure functions over bytes that
// nobody vouches for.
//
// Compression pointers (RFC 1035, 4.1.4) are never followed: a name is compared only where it may not be
// compressed, in the question, and anywhere else it is enough to know where it ends. So there are no loops to
// fall into, and every walk is bounded by the message's length, whatever its counts say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace glassbox::net {

inline constexpr std::size_t kDnsHeader = 12;
inline constexpr std::size_t kMaxDnsQuestion = 255 + 4;  // RFC 1035, 2.3.4; type and class
inline constexpr std::size_t kMaxPlainDns = 512;         // RFC 1035, 4.2.1

// Of the header's second word.
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
  bool plain = true;  // says nothing that would make its answer unfit for others (EDNS options, TSIG)
  std::uint16_t udp_size = kMaxPlainDns;
};
// A standard query with one question; nothing for all else.
[[nodiscard]] std::optional<DnsQuery> parse_dns_query(std::span<const std::uint8_t> message);

struct DnsReply {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  std::span<const std::uint8_t> question;  // empty: servers leave it out when they did not understand
  // For how many seconds it may be given to others (RFC 2181, 8; RFC 2308, 5); 0: not at all.
  std::uint32_t cache_seconds = 0;

  [[nodiscard]] DnsRcode rcode() const { return static_cast<DnsRcode>(flags & kDnsRcode); }
};
// Header and question of a response. Its records may be cut short or worse: then it is not for the cache.
[[nodiscard]] std::optional<DnsReply> parse_dns_reply(std::span<const std::uint8_t> message);

// Whether the questions are the same, the case of letters aside (RFC 4343).
[[nodiscard]] bool same_question(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);
// The letter as the comparison has it; `at` is the byte's place in the question.
[[nodiscard]] std::uint8_t folded_question_byte(std::span<const std::uint8_t> question, std::size_t at);

// Takes the seconds off the TTL of every record.
void age_dns_message(std::span<std::uint8_t> message, std::uint32_t seconds);

}  // namespace glassbox::net
