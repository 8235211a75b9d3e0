// DNS messages and the cache: which answers are kept, for how long, and what hostile messages cause.
#include <gtest/gtest.h>

#include <random>

#include "dns_builder.h"
#include "net/dns/dns_cache.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kNow = 50 * kSecond;

std::uint32_t seconds_of(const DnsSpec& spec) {
  const std::string message = dns_message(spec);
  const auto reply = parse_dns_reply(octets(message));
  EXPECT_TRUE(reply);
  return reply ? reply->cache_seconds : 0;
}

TEST(DnsMessage, QueriesAndTheirWishes) {
  DnsSpec spec;
  std::string message = dns_message(spec);
  auto query = parse_dns_query(octets(message));
  ASSERT_TRUE(query);
  EXPECT_EQ(query->id, 0x1234);
  EXPECT_EQ(query->question.size(), 17U + 4U);
  EXPECT_TRUE(query->plain);
  EXPECT_EQ(query->udp_size, 512);
  spec.additional = dns_opt(1400, true);
  spec.additionals = 1;
  message = dns_message(spec);
  query = parse_dns_query(octets(message));
  ASSERT_TRUE(query);
  EXPECT_TRUE(query->edns && query->dnssec_ok && query->plain);
  EXPECT_EQ(query->udp_size, 1400);
  spec.additional = dns_opt(100, false, be16(10) + be16(8) + "12345678");  // a cookie
  message = dns_message(spec);
  query = parse_dns_query(octets(message));
  ASSERT_TRUE(query);
  EXPECT_FALSE(query->plain);
  EXPECT_EQ(query->udp_size, 512);
  for (const std::uint16_t flags : {kDnsResponse, std::uint16_t{0x2800}}) {
    message = dns_message({.flags = flags});
    EXPECT_FALSE(parse_dns_query(octets(message)));
  }
}

TEST(DnsMessage, LeastTtlOfAllRecordsCounts) {
  EXPECT_EQ(seconds_of(dns_answer(300)), 300U);
  DnsSpec spec = dns_answer(300);
  spec.answer += dns_record(kToQuestion, kTypeA, 70, "abcd");
  spec.answers = 2;
  spec.authority = dns_record(dns_name("example.com"), kTypeNs, 900, kToQuestion);
  spec.authorities = 1;
  EXPECT_EQ(seconds_of(spec), 70U);
  spec.additional = dns_record(dns_name("ns.example.com"), kTypeA, 50, "abcd") + dns_opt(1232, true);
  spec.additionals = 2;
  EXPECT_EQ(seconds_of(spec), 50U);  // and not what the OPT record has in the TTL's place
  EXPECT_EQ(seconds_of(dns_answer(0)), 0U);
  EXPECT_EQ(seconds_of(dns_answer(0x8000'0001)), 0U);  // RFC 2181, 8
  EXPECT_EQ(seconds_of(dns_answer(0x7fff'ffff)), 86'400U);
}

TEST(DnsMessage, NegativeAnswersByTheSoa) {
  DnsSpec none;
  none.flags = kDnsResponse | static_cast<std::uint16_t>(DnsRcode::kNameError);
  EXPECT_EQ(seconds_of(none), 0U);  // no record says for how long
  none.authority = dns_soa(dns_name("example.com"), 900, 60);
  none.authorities = 1;
  EXPECT_EQ(seconds_of(none), 60U);
  none.authority = dns_soa(dns_name("example.com"), 30, 60);
  EXPECT_EQ(seconds_of(none), 30U);
  none.authority = dns_soa(dns_name("example.com"), 90'000, 90'000);
  EXPECT_EQ(seconds_of(none), 10'800U);
  none.flags = kDnsResponse;  // the name is there, the type is not
  EXPECT_EQ(seconds_of(none), 10'800U);
  none.authority = dns_record(dns_name("example.com"), kTypeNs, 900, kToQuestion);  // a referral
  EXPECT_EQ(seconds_of(none), 0U);
  DnsSpec chain = dns_answer(300);
  chain.answer = dns_record(kToQuestion, kTypeCname, 300, dns_name("other.example"));
  EXPECT_EQ(seconds_of(chain), 0U);  // leads nowhere, and no record says for how long
  chain.authority = dns_soa(dns_name("example"), 900, 45);
  chain.authorities = 1;
  EXPECT_EQ(seconds_of(chain), 45U);
}

TEST(DnsMessage, WhatIsNotForTheCache) {
  DnsSpec spec = dns_answer(300);
  for (const std::uint16_t flags :
       {kDnsTruncated, static_cast<std::uint16_t>(DnsRcode::kServerFailure),
        static_cast<std::uint16_t>(DnsRcode::kRefused), static_cast<std::uint16_t>(DnsRcode::kFormatError)}) {
    spec.flags = static_cast<std::uint16_t>(kDnsResponse | flags);
    EXPECT_EQ(seconds_of(spec), 0U) << flags;
  }
  spec = dns_answer(300);
  spec.answers = 2;  // one of which is not there
  EXPECT_EQ(seconds_of(spec), 0U);
}

TEST(DnsMessage, LettersAreTheSameTypesAreNot) {
  const std::string lower = dns_message({.name = "www.example.com", .type = 97});
  const std::string upper = dns_message({.name = "WWW.eXample.COM", .type = 97});
  const std::string other = dns_message({.name = "www.example.com", .type = kTypeHttps});  // 'A' to 97's 'a'
  const auto question = [](const std::string& m) { return parse_dns_query(octets(m))->question; };
  EXPECT_TRUE(same_question(question(lower), question(upper)));
  EXPECT_FALSE(same_question(question(lower), question(other)));
}

TEST(DnsMessage, CompressionLoopsAndLiesEnd) {
  // A name that points to itself, one that points ahead, and two that point to each other.
  for (const std::string& name :
       {std::string("\xc0\x21"), std::string("\xc0\xff"), std::string("\xc0\x23\xc0\x21")}) {
    DnsSpec spec = dns_answer(300);
    spec.answer = dns_record(name, kTypeA, 300, "abcd");
    EXPECT_EQ(seconds_of(spec), 0U);
  }
  DnsSpec spec = dns_answer(300);
  spec.answers = spec.authorities = spec.additionals = 0xffff;
  EXPECT_EQ(seconds_of(spec), 0U);
  spec = dns_answer(300);
  spec.answer[11] = '\xff';  // the length of the data
  EXPECT_EQ(seconds_of(spec), 0U);
  std::string message = dns_message({});
  message[12] = '\x40';  // a label of 64 bytes
  EXPECT_FALSE(parse_dns_query(octets(message)));
  message[12] = '\xc0';  // a compressed question
  EXPECT_FALSE(parse_dns_query(octets(message)));
  const std::string longest = std::string(62, 'a') + '.' + std::string(62, 'b') + '.' + std::string(62, 'c') +
                              '.' + std::string(62, 'd');  // 253 and the root: 254
  EXPECT_TRUE(parse_dns_query(octets(message = dns_message({.name = longest}))));
  EXPECT_FALSE(parse_dns_query(octets(message = dns_message({.name = longest + "ee"}))));
}

TEST(DnsMessage, EveryTruncationAndMutationIsSurvived) {
  DnsSpec spec = dns_answer(300);
  spec.authority = dns_soa(dns_name("example.com"), 900, 60);
  spec.additional = dns_opt(1232);
  spec.authorities = spec.additionals = 1;
  const std::string good = dns_message(spec);
  std::mt19937 random(42);
  for (std::size_t length = 0; length <= good.size(); ++length) {
    for (int round = 0; round < 50; ++round) {
      std::vector<std::uint8_t> bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
      for (int i = round % 4; i > 0 && length != 0; --i)
        bytes[random() % length] = static_cast<std::uint8_t>(random());
      (void)parse_dns_query(bytes);
      (void)parse_dns_reply(bytes);
      age_dns_message(bytes, 10);
    }
  }
}

class DnsCacheTest : public testing::Test {
 protected:
  std::string get(const DnsSpec& spec, std::uint64_t now_ns) {
    const std::string message = dns_message(spec);
    const auto query = parse_dns_query(octets(message));
    std::array<std::uint8_t, DnsCache::kMaxMessage> out;
    const std::size_t bytes = cache.get(*query, now_ns, out);
    return {out.begin(), out.begin() + static_cast<std::ptrdiff_t>(bytes)};
  }
  void put(const DnsSpec& asked, const DnsSpec& answered, std::uint64_t now_ns = kNow) {
    const std::string question = dns_message(asked);
    const std::string message = dns_message(answered);
    const auto query = parse_dns_query(octets(question));
    const auto reply = parse_dns_reply(octets(message));
    ASSERT_TRUE(query && reply);
    cache.put(*query, *reply, octets(message), now_ns);
  }
  DnsCache cache;
};

TEST_F(DnsCacheTest, AgesAndExpiresUnderTheAskersIdAndSpelling) {
  DnsSpec answered = dns_answer(300);
  answered.flags |= kDnsAuthoritative;
  put({}, answered);
  DnsSpec expected = dns_answer(300 - 100);
  expected.id = 77;
  expected.name = "WwW.ExAmPlE.cOm";
  EXPECT_EQ(get({.id = 77, .name = expected.name}, kNow + 100 * kSecond), dns_message(expected));
  EXPECT_NE(get({}, kNow + 300 * kSecond - 1), "");
  EXPECT_EQ(get({}, kNow + 300 * kSecond), "");
}

TEST_F(DnsCacheTest, OtherQuestionsAndWishesGetNothing) {
  put({}, dns_answer(300));
  EXPECT_NE(get({}, kNow), "");
  EXPECT_EQ(get({.name = "ww.example.com"}, kNow), "");
  EXPECT_EQ(get({.type = 28}, kNow), "");
  EXPECT_EQ(get({.flags = 0}, kNow), "");
  EXPECT_EQ(get({.flags = kDnsRecursionDesired | kDnsCheckingDisabled}, kNow), "");
  EXPECT_EQ(get({.additional = dns_opt(1232), .additionals = 1}, kNow), "");
}

TEST_F(DnsCacheTest, AnswerTooLargeForTheAskerIsNotGiven) {
  DnsSpec wide = dns_answer(300);
  wide.answer = dns_record(kToQuestion, kTypeA, 300, std::string(700, 'x'));
  put({.additional = dns_opt(1232), .additionals = 1}, wide);
  EXPECT_NE(get({.additional = dns_opt(1232), .additionals = 1}, kNow), "");
  EXPECT_EQ(get({.additional = dns_opt(512), .additionals = 1}, kNow), "");
  DnsSpec huge = dns_answer(300);
  huge.answer = dns_record(kToQuestion, kTypeA, 300, std::string(1300, 'x'));
  put({.additional = dns_opt(4096), .additionals = 1}, huge);
  EXPECT_NE(get({.additional = dns_opt(4096), .additionals = 1}, kNow), dns_message(huge));
}

TEST_F(DnsCacheTest, QueriesWithOptionsOfTheirOwnGoPastIt) {
  const DnsSpec cookie{.additional = dns_opt(1232, false, be16(10) + be16(8) + "12345678"), .additionals = 1};
  put(cookie, dns_answer(300));
  EXPECT_EQ(get(cookie, kNow), "");
}

TEST_F(DnsCacheTest, IsBoundedAndForgetsTheOldestFirst) {
  for (unsigned i = 0; i < 4 * DnsCache::kEntries; ++i) {
    DnsSpec spec = dns_answer(3000);
    spec.name = "host" + std::to_string(i) + ".example";
    put({.name = spec.name}, spec, kNow + i);
  }
  std::size_t found = 0;
  std::size_t newest = 0;
  for (unsigned i = 0; i < 4 * DnsCache::kEntries; ++i) {
    if (get({.name = "host" + std::to_string(i) + ".example"}, kNow + kSecond).empty()) continue;
    ++found;
    if (i >= 3 * DnsCache::kEntries) ++newest;
  }
  EXPECT_LE(found, DnsCache::kEntries);
  EXPECT_GT(found, DnsCache::kEntries / 2);
  EXPECT_GT(newest, found / 2);
  cache.clear();
  EXPECT_EQ(get({.name = "host4095.example"}, kNow + kSecond), "");
}

TEST_F(DnsCacheTest, WhatIsAskedForStays) {
  DnsSpec kept = dns_answer(3000);
  kept.name = "kept.example";
  put({.name = kept.name}, kept);
  for (unsigned i = 1; i < 8 * DnsCache::kEntries; ++i) {
    DnsSpec spec = dns_answer(3000);
    spec.name = "host" + std::to_string(i) + ".example";
    put({.name = spec.name}, spec, kNow + 2 * i);
    ASSERT_NE(get({.name = kept.name}, kNow + 2 * i + 1), "") << i;
  }
}

}  // namespace
}  // namespace glassbox::net
