// DNS: a query of the guest and what claims to be its answer, through parser and cache.
//
// An input is 2 bytes of length (big-endian), the query, and the reply in the rest. The target copies the
// query's identifier into the reply; otherwise almost no input would pass that check.
#include <algorithm>

#include "net/dns/dns_cache.h"
#include "net/inet.h"
#include "tests/fuzz/fuzz.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kNow = 1000 * kSecond;

void try_cache(const DnsQuery& query, const DnsReply& reply, std::span<const std::uint8_t> message) {
  static DnsCache cache;
  cache.clear();
  cache.put(query, reply, message, kNow);
  std::array<std::uint8_t, DnsCache::kMaxMessage> out;
  const std::uint64_t last = kNow + std::max<std::uint64_t>(reply.cache_seconds, 1) * kSecond - 1;
  for (const std::uint64_t now : {kNow, last}) {
    const std::size_t bytes = cache.get(query, now, out);
    if (bytes == 0) continue;
    fuzz::insist(reply.cache_seconds != 0 && bytes == message.size(), "what was not to be kept was kept");
    const auto given = parse_dns_reply(std::span(out).first(bytes));
    fuzz::insist(given && given->id == query.id, "the cache gives something else than a reply");
    fuzz::insist(std::ranges::equal(given->question, query.question), "another spelling");
    fuzz::insist(given->cache_seconds != 0 && given->cache_seconds <= reply.cache_seconds, "a TTL has grown");
  }
  fuzz::insist(cache.get(query, last + 1, out) == 0, "an answer outlived its TTL");
}

}  // namespace
}  // namespace glassbox::net

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glassbox::net;
  glassbox::fuzz::Input input(data, size);
  const auto asked = input.bytes(input.be16());
  auto answered = input.bytes(input.left());
  const auto query = parse_dns_query(asked);
  if (query && answered.size() >= 2) store_be16(answered.data(), query->id);
  const auto reply = parse_dns_reply(answered);
  if (query && reply && same_question(query->question, reply->question)) try_cache(*query, *reply, answered);
  age_dns_message(answered, 7);
  return 0;
}
