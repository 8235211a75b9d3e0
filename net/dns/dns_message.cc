#include "net/dns/dns_message.h"

#include <algorithm>

#include "net/inet.h"

namespace glassbox::net {
namespace {

constexpr std::size_t kRecordFixed = 10;  // type, class, TTL, length of the data
constexpr std::size_t kQuestionFixed = 4;
constexpr std::size_t kMaxName = 255;
constexpr std::uint16_t kTypeSoa = 6;
constexpr std::uint16_t kTypeOpt = 41;
constexpr std::uint16_t kTypeAny = 255;
constexpr std::uint16_t kClassIn = 1;
constexpr std::uint16_t kDnssecOk = 0x8000;
constexpr std::size_t kSoaFixed = 20;
constexpr std::uint32_t kMaxPositiveSeconds = 86'400;
constexpr std::uint32_t kMaxNegativeSeconds = 10'800;  // RFC 2308, 5

enum class Section { kAnswer, kAuthority, kAdditional };

struct Record {
  Section section = Section::kAnswer;
  std::uint16_t type = 0;
  std::uint16_t klass = 0;
  std::size_t ttl_at = 0;
  std::size_t data_at = 0;
  std::size_t data_bytes = 0;
};

// The place behind the name that begins at `at`, within the first `end` bytes; 0 if the name is malformed.
std::size_t skip_name(std::span<const std::uint8_t> message, std::size_t at, std::size_t end) {
  constexpr std::uint8_t kPointer = 0xc0;
  const std::size_t begin = at;
  while (at < end) {
    const std::uint8_t length = message[at];
    if (length == 0) return at + 1;
    if ((length & kPointer) == kPointer) {
      if (end - at < 2) return 0;
      // A pointer may point to an earlier place only (RFC 1035, 4.1.4).
      return (load_be16(&message[at]) & 0x3fffU) < begin ? at + 2 : 0;
    }
    if ((length & kPointer) != 0) return 0;
    at += std::size_t{1} + length;
    if (at - begin > kMaxName) return 0;
  }
  return 0;
}

// The first question of the message; empty if it is incomplete or compressed.
std::span<const std::uint8_t> question_of(std::span<const std::uint8_t> message) {
  std::size_t at = kDnsHeader;
  while (at < message.size() && message[at] != 0) {
    if (message[at] > 63) return {};
    at += std::size_t{1} + message[at];
  }
  if (at >= message.size() || at + 1 - kDnsHeader > kMaxName || message.size() - at - 1 < kQuestionFixed)
    return {};
  return message.subspan(kDnsHeader, at + 1 + kQuestionFixed - kDnsHeader);
}

// Calls function(Record) for every record behind the question. False if the message ends before its counts
// do.
template <typename Function>
bool for_each_record(std::span<const std::uint8_t> message, std::size_t at, Function function) {
  for (std::size_t section = 0; section < 3; ++section) {
    for (unsigned left = load_be16(&message[6 + 2 * section]); left != 0; --left) {
      at = skip_name(message, at, message.size());
      if (at == 0 || message.size() - at < kRecordFixed) return false;
      const Record record{static_cast<Section>(section),
                          load_be16(&message[at]),
                          load_be16(&message[at + 2]),
                          at + 4,
                          at + kRecordFixed,
                          load_be16(&message[at + 8])};
      if (record.data_bytes > message.size() - record.data_at) return false;
      function(record);
      at = record.data_at + record.data_bytes;
    }
  }
  return true;
}

// RFC 2181, 8: the top bit means 0.
std::uint32_t ttl_of(std::span<const std::uint8_t> message, const Record& record) {
  const std::uint32_t ttl = load_be32(&message[record.ttl_at]);
  return (ttl >> 31) != 0 ? 0 : ttl;
}

// The last field of an SOA record; 0 if the record is malformed.
std::uint32_t soa_minimum(std::span<const std::uint8_t> message, const Record& record) {
  const std::size_t end = record.data_at + record.data_bytes;
  std::size_t at = skip_name(message, record.data_at, end);
  if (at != 0) at = skip_name(message, at, end);
  if (at == 0 || end - at != kSoaFixed) return 0;
  const std::uint32_t minimum = load_be32(&message[at + 16]);
  return (minimum >> 31) != 0 ? 0 : minimum;
}

std::uint32_t cache_seconds_of(std::span<const std::uint8_t> message, const DnsReply& reply) {
  const bool name_error = reply.rcode() == DnsRcode::kNameError;
  if ((reply.rcode() != DnsRcode::kNoError && !name_error) || (reply.flags & kDnsTruncated) != 0) return 0;
  const std::uint16_t asked = load_be16(&reply.question[reply.question.size() - kQuestionFixed]);
  if (load_be16(&reply.question[reply.question.size() - 2]) != kClassIn) return 0;
  bool answered = false;
  bool has_soa = false;
  std::uint32_t least = kMaxPositiveSeconds;
  const bool whole = for_each_record(message, kDnsHeader + reply.question.size(), [&](const Record& record) {
    if (record.type == kTypeOpt) return;
    least = std::min(least, ttl_of(message, record));
    if (record.section == Section::kAnswer) answered |= record.type == asked || asked == kTypeAny;
    if (record.section == Section::kAuthority && record.type == kTypeSoa) {
      has_soa = true;
      least = std::min(least, soa_minimum(message, record));
    }
  });
  if (!whole) return 0;
  if (answered && !name_error) return least;
  // The name or type does not exist. Only the zone's SOA record says for how long that holds (RFC 2308, 5).
  return has_soa ? std::min(least, kMaxNegativeSeconds) : 0;
}

}  // namespace

std::optional<DnsQuery> parse_dns_query(std::span<const std::uint8_t> message) {
  if (message.size() < kDnsHeader) return std::nullopt;
  DnsQuery query;
  query.id = load_be16(&message[0]);
  query.flags = load_be16(&message[2]);
  if ((query.flags & (kDnsResponse | kDnsOpcode)) != 0 || load_be16(&message[4]) != 1) return std::nullopt;
  query.question = question_of(message);
  if (query.question.empty()) return std::nullopt;
  const bool whole = for_each_record(message, kDnsHeader + query.question.size(), [&](const Record& record) {
    if (record.type != kTypeOpt || record.section != Section::kAdditional || query.edns) {
      query.plain = false;
      return;
    }
    query.edns = true;
    query.udp_size = std::max<std::uint16_t>(record.klass, kMaxPlainDns);
    query.dnssec_ok = (load_be16(&message[record.ttl_at + 2]) & kDnssecOk) != 0;
    if (record.data_bytes != 0) query.plain = false;
  });
  if (!whole) return std::nullopt;
  return query;
}

std::optional<DnsReply> parse_dns_reply(std::span<const std::uint8_t> message) {
  if (message.size() < kDnsHeader) return std::nullopt;
  DnsReply reply;
  reply.id = load_be16(&message[0]);
  reply.flags = load_be16(&message[2]);
  if ((reply.flags & (kDnsResponse | kDnsOpcode)) != kDnsResponse) return std::nullopt;
  switch (load_be16(&message[4])) {
    case 0:
      return reply;
    case 1:
      reply.question = question_of(message);
      if (reply.question.empty()) return std::nullopt;
      reply.cache_seconds = cache_seconds_of(message, reply);
      return reply;
    default:
      return std::nullopt;
  }
}

std::uint8_t folded_question_byte(std::span<const std::uint8_t> question, std::size_t at) {
  const std::uint8_t byte = question[at];
  // A label's length is never a letter; type and class may look like one.
  const bool letter = byte >= 'A' && byte <= 'Z' && at + kQuestionFixed < question.size();
  return letter ? static_cast<std::uint8_t>(byte + ('a' - 'A')) : byte;
}

bool same_question(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (folded_question_byte(a, i) != folded_question_byte(b, i)) return false;
  }
  return true;
}

void age_dns_message(std::span<std::uint8_t> message, std::uint32_t seconds) {
  if (message.size() < kDnsHeader) return;
  std::size_t behind_question = kDnsHeader;
  if (load_be16(&message[4]) == 1) behind_question += question_of(message).size();
  for_each_record(message, behind_question, [&](const Record& record) {
    if (record.type == kTypeOpt) return;
    const std::uint32_t ttl = ttl_of(message, record);
    store_be32(&message[record.ttl_at], ttl - std::min(ttl, seconds));
  });
}

}  // namespace glassbox::net
