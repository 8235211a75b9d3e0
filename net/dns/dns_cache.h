// Answers of name servers, kept for as long as their records allow and given out with the time that is left.
//
// A fixed table, four places for each hash of a question: the place that was used longest ago goes first. An
// answer is for whoever asks the same with the same wishes (recursion, DNSSEC, EDNS).
//
// Thread: the network thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "net/dns/dns_message.h"

namespace glassbox::net {

class DnsCache {
 public:
  static constexpr std::size_t kMaxMessage = 1232;  // what fits an Ethernet frame whatever the tunnels
  static constexpr std::size_t kEntries = 1024;

  DnsCache();

  // Keeps a reply to the query, if it is fit for it.
  void put(const DnsQuery& query, const DnsReply& reply, std::span<const std::uint8_t> message,
           std::uint64_t now_ns);
  // Writes the answer to the query into out, with its identifier, its spelling and aged TTLs. Returns the
  // bytes, 0 if there is none that fits.
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
    std::uint16_t wishes = 0;
  };

  [[nodiscard]] std::uint64_t hash_of(std::span<const std::uint8_t> question, std::uint16_t wishes) const;
  [[nodiscard]] std::span<std::uint8_t> message_of(std::size_t index) {
    return {messages_.get() + index * kMaxMessage, kMaxMessage};
  }
  [[nodiscard]] bool matches(std::size_t index, const DnsQuery& query, std::uint64_t hash);

  std::array<Entry, kEntries> entries_;
  std::unique_ptr<std::uint8_t[]> messages_;  // not touched before it is used
  std::uint64_t secret_ = 0;
};

}  // namespace glassbox::net
