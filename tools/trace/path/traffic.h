// The TCP frames of one cycle's connection, at both ends, in host time: for verdicts about retransmissions
// and delayed acknowledgements. Pure.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "tools/trace/path/attribute.h"
#include "tools/trace/path/flows.h"

namespace glassbox::trace {

// Frames that take up sequence space (SYN, FIN, payload); `acks_to_guest` are the others.
struct CycleTraffic {
  struct Frame {
    std::int64_t at_ns = 0;
    std::uint64_t seq = 0;
    static constexpr std::uint64_t kPayloadMark = 4;
    std::uint64_t marks = 0;  // TH_FIN, TH_SYN, kPayloadMark
    [[nodiscard]] bool has_payload() const { return (marks & kPayloadMark) != 0; }
    [[nodiscard]] bool same(const Frame& other) const { return seq == other.seq && marks == other.marks; }
  };
  std::vector<Frame> guest_sent, nat_got, nat_sent, guest_got;  // by time
  std::vector<std::int64_t> guest_sends;                        // the client's calls of send()
  std::vector<std::int64_t> acks_to_guest;                      // received by the guest
};

class Traffic {
 public:
  // Refers to `trace` and `clock`, which must outlive it.
  Traffic(const Trace& trace, const ClockReport& clock);

  [[nodiscard]] bool guest_is_traced() const { return guest_is_traced_; }
  [[nodiscard]] const HostFlow* flow(std::uint64_t number) const;
  // The frames within the cycle and kLateNs after it. Empty for a cycle that the host did not see.
  static constexpr std::int64_t kLateNs = 100'000'000;
  [[nodiscard]] CycleTraffic of(const CycleResult& cycle) const;

 private:
  using Refs = std::vector<EventRef>;
  [[nodiscard]] std::int64_t host_time(const gb_event& e) const;
  void add_guest(const gb_event& e, CycleTraffic& to) const;

  const ClockReport& clock_;
  HostFlows flows_;
  bool guest_is_traced_ = false;
  std::unordered_map<std::uint64_t, const HostFlow*> by_number_;
  std::unordered_map<std::uint64_t, Refs> host_;   // by flow
  std::unordered_map<std::uint64_t, Refs> guest_;  // by ports
};

}  // namespace glassbox::trace
