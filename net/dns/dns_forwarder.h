// The name server that the guest sees: it forwards the guest's questions to the host's name servers and
// passes the answers back through a cache.
//
// Theory of operation. A question that the cache cannot answer gets a socket of its own, so that a forger
// must guess the port, the identifier and the question. Each server has kTryNs to answer. Then, or at once if
// it is unreachable or reports that it cannot answer, the next server is asked; each of them twice. The
// server that answered last is asked first. If no server answers, the guest gets "server failure". While its
// question is open, a repetition by the guest changes nothing.
//
// The guest gets the name back as it spelled it, whatever the server's reply contains. A truncated answer is
// passed on as it is; the guest then asks over TCP, and that connection goes to a server as any other does
// (net/policy.h).
//
// Thread: the network thread. Nothing waits, and nothing allocates after the constructor.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "net/dns/dns_cache.h"
#include "net/flow/admission.h"
#include "net/link/guest_link.h"
#include "net/loop/event_loop.h"
#include "net/policy.h"

namespace glassbox::net {

class DnsForwarder {
 public:
  DnsForwarder(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, Admission& admission,
               NatCounters& counters);
  ~DnsForwarder();
  DnsForwarder(const DnsForwarder&) = delete;
  DnsForwarder& operator=(const DnsForwarder&) = delete;

  // Takes one datagram for the name server's address and port that the policy allows. Returns why it was
  // dropped, or kNone.
  [[nodiscard]] DropReason on_datagram(const FlowKey& key, const IovSlice& payload);
  [[nodiscard]] std::uint64_t next_deadline_ns() const { return open_ == 0 ? 0 : next_due_ns_; }
  void on_deadline();

 private:
  static constexpr std::uint16_t kMaxOpen = 256;
  static constexpr std::size_t kMaxQuery = 512;
  static constexpr std::size_t kMaxReply = 4096;

  struct Question final : FdHandler {
    void on_fd_ready(std::uint32_t /*events*/) override { forwarder->on_reply(*this); }
    DnsForwarder* forwarder = nullptr;
    FlowKey key;
    int fd = -1;           // open exactly while this record is in use
    std::uint16_t id = 0;  // the identifier outside
    std::uint8_t tries = 0;
    std::uint8_t server = 0;
    std::uint64_t due_ns = 0;
    std::size_t bytes = 0;
    std::array<std::uint8_t, kMaxQuery> query;  // as the guest sent it

    [[nodiscard]] std::span<const std::uint8_t> message() const { return std::span(query).first(bytes); }
  };

  [[nodiscard]] Question* find(const FlowKey& key, const DnsQuery& query);
  [[nodiscard]] Question* vacant();
  void ask(Question& question);
  [[nodiscard]] bool ask_next(Question& question);
  void ask_again_or_fail(Question& question);
  void on_reply(Question& question);
  [[nodiscard]] bool take_reply(Question& question, std::span<std::uint8_t> message);
  void close_socket(Question& question);
  void fail(Question& question);
  void answer(const FlowKey& key, std::span<std::uint8_t> message);
  void answer_error(const FlowKey& key, std::span<const std::uint8_t> query, DnsRcode rcode);
  [[nodiscard]] std::uint16_t random_id();

  EventLoop& loop_;
  GuestLink& link_;
  DestinationPolicy& policy_;
  Admission& admission_;
  NatCounters& counters_;
  DnsCache cache_;
  std::unique_ptr<Question[]> questions_;
  std::uint32_t open_ = 0;
  std::uint8_t preferred_ = 0;  // the server that answered last
  std::uint32_t servers_version_ = 0;
  std::uint64_t next_due_ns_ = 0;
  std::array<std::uint16_t, 64> random_{};
  std::size_t random_left_ = 0;
  std::array<std::uint8_t, kMaxReply> room_;
};

}  // namespace glassbox::net
