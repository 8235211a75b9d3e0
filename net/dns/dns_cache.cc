#include "net/dns/dns_cache.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>

#include "net/inet.h"
#include "vmm/base/clock.h"

namespace glassbox::net {
namespace {

// The part of a query, other than the question, that changes the answer.
std::uint16_t query_flags_of(const DnsQuery& query) {
  constexpr std::uint16_t kEdns = 1;
  constexpr std::uint16_t kDnssec = 2;
  const auto flags = static_cast<std::uint16_t>(
      query.flags & (kDnsRecursionDesired | kDnsAuthenticData | kDnsCheckingDisabled));
  return static_cast<std::uint16_t>(flags | (query.edns ? kEdns : 0) | (query.dnssec_ok ? kDnssec : 0));
}

}  // namespace

DnsCache::DnsCache() : messages_(new std::uint8_t[kEntries * kMaxMessage]) {
  // With a secret no one outside can choose names that collide. If getrandom() fails, the cache works
  // without.
  (void)!::getrandom(&secret_, sizeof(secret_), 0);
}

void DnsCache::clear() {
  entries_.fill({});
}

std::uint64_t DnsCache::hash_of(std::span<const std::uint8_t> question, std::uint16_t query_flags) const {
  std::uint64_t hash = secret_ ^ query_flags;
  for (std::size_t i = 0; i < question.size(); ++i) {
    hash = (hash ^ folded_question_byte(question, i)) * 0x9e37'79b9'7f4a'7c15ULL;
    hash ^= hash >> 29;
  }
  return hash;
}

bool DnsCache::matches(std::size_t index, const DnsQuery& query, std::uint64_t hash) {
  const Entry& entry = entries_.at(index);
  return entry.expires_ns != 0 && entry.hash == hash && entry.query_flags == query_flags_of(query) &&
         same_question(message_of(index).subspan(kDnsHeader, entry.question_bytes), query.question);
}

void DnsCache::put(const DnsQuery& query, const DnsReply& reply, std::span<const std::uint8_t> message,
                   std::uint64_t now_ns) {
  if (!query.plain || reply.cache_seconds == 0 || message.size() > kMaxMessage) return;
  const std::uint64_t hash = hash_of(query.question, query_flags_of(query));
  const std::size_t first = hash % (kEntries / kWays) * kWays;
  std::size_t place = first;
  for (std::size_t i = first; i < first + kWays; ++i) {
    if (matches(i, query, hash)) {
      place = i;
      break;
    }
    if (entries_.at(i).used_ns < entries_.at(place).used_ns) place = i;
  }
  std::copy(message.begin(), message.end(), message_of(place).begin());
  entries_.at(place) = {hash,
                        now_ns,
                        now_ns + reply.cache_seconds * kNsPerSecond,
                        now_ns,
                        static_cast<std::uint16_t>(message.size()),
                        static_cast<std::uint16_t>(reply.question.size()),
                        query_flags_of(query)};
}

std::size_t DnsCache::get(const DnsQuery& query, std::uint64_t now_ns,
                          std::span<std::uint8_t, kMaxMessage> out) {
  if (!query.plain) return 0;
  const std::uint64_t hash = hash_of(query.question, query_flags_of(query));
  const std::size_t first = hash % (kEntries / kWays) * kWays;
  for (std::size_t i = first; i < first + kWays; ++i) {
    if (!matches(i, query, hash)) continue;
    Entry& entry = entries_.at(i);
    if (now_ns >= entry.expires_ns) {
      entry = {};
      return 0;
    }
    if (entry.bytes > query.udp_size) return 0;
    entry.used_ns = now_ns;
    const auto message = out.first(entry.bytes);
    std::memcpy(message.data(), message_of(i).data(), message.size());
    store_be16(message.data(), query.id);
    // An answer from a cache is not authoritative (RFC 1035, 4.1.1).
    store_be16(&message[2], static_cast<std::uint16_t>(load_be16(&message[2]) & ~kDnsAuthoritative));
    std::copy(query.question.begin(), query.question.end(), message.begin() + kDnsHeader);
    age_dns_message(message, static_cast<std::uint32_t>((now_ns - entry.stored_ns) / kNsPerSecond));
    return message.size();
  }
  return 0;
}

}  // namespace glassbox::net
