// Caches answers of name servers for as long as their records allow (RFC 1035, 7.4; RFC 2308), and gives them
// out with the remaining time to live.
//
// A fixed table with four places for each hash of a question; the least recently used of them is replaced. An
// answer serves only a query with the same question and the same query flags: recursion, DNSSEC and EDNS.
//
// Thread: the network thread. Nothing allocates after the constructor.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "net/dns/dns_message.h"

namespace glassbox::net {

class DnsCache {
 public:
  static constexpr std::size_t kMaxMessage = 1232;  // fits the smallest IPv6 MTU: 1280 - 40 - 8
  static constexpr std::size_t kEntries = 1024;

  DnsCache();

  // Keeps the reply to the query, if it may be given to others. message: the reply's bytes.
  void put(const DnsQuery& query, const DnsReply& reply, std::span<const std::uint8_t> message,
           std::uint64_t now_ns);
  // Writes the answer to the query into out, with the query's identifier and spelling of the name, and with
  // the TTLs that are left. Returns its length; 0 if there is no answer, or none that fits the client.
  [[nodiscard]] std::size_t get(const DnsQuery& query, std::uint64_t now_ns,
                                std::span<std::uint8_t, kMaxMessage> out);
  void clear();

 private:
  static constexpr std::size_t kWays = 4;
  struct Entry {
    std::uint64_t hash = 0;
    std::uint64_t stored_ns = 0;
    std::uint64_t expires_ns = 0;  // 0: vacant
    std::uint64_t used_ns = 0;
    std::uint16_t bytes = 0;
    std::uint16_t question_bytes = 0;
    std::uint16_t query_flags = 0;
  };

  [[nodiscard]] std::uint64_t hash_of(std::span<const std::uint8_t> question,
                                      std::uint16_t query_flags) const;
  [[nodiscard]] std::span<std::uint8_t> message_of(std::size_t index) {
    return {messages_.get() + index * kMaxMessage, kMaxMessage};
  }
  [[nodiscard]] bool matches(std::size_t index, const DnsQuery& query, std::uint64_t hash);

  std::array<Entry, kEntries> entries_;
  std::unique_ptr<std::uint8_t[]> messages_;  // memory of unused entries is not touched
  std::uint64_t secret_ = 0;
};

}  // namespace glassbox::net
