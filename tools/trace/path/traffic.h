// The TCP frames of one cycle's connection, both ends on the host's clock: for verdicts that ask whether a
// frame was sent again, or what an answer waited for.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "tools/trace/path/attribute.h"
#include "tools/trace/path/flows.h"

namespace glassbox::trace {

// Only frames that take up sequence space, but for `acks_to_guest`.
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
  std::vector<std::int64_t> guest_sends;                        // the client's calls
  std::vector<std::int64_t> acks_to_guest;                      // received there
};

class Traffic {
 public:
  // `trace` and `clock` must outlive it.
  Traffic(const Trace& trace, const ClockReport& clock);

  [[nodiscard]] bool guest_is_traced() const { return guest_is_traced_; }
  [[nodiscard]] const HostFlow* flow(std::uint64_t number) const;
  // Within the cycle, and kLateNs after it; empty for a cycle that the host saw nothing of.
  static constexpr std::int64_t kLateNs = 100'000'000;
  [[nodiscard]] CycleTraffic of(const CycleResult& cycle) const;

 private:
  using Refs = std::vector<EventRef>;
  [[nodiscard]] std::int64_t host_time(const gb_event& e) const;
  void add_guest(const gb_event& e, CycleTraffic& to) const;

  const ClockReport& clock_;
  FlowTable flows_;
  bool guest_is_traced_ = false;
  std::unordered_map<std::uint64_t, const HostFlow*> by_number_;
  std::unordered_map<std::uint64_t, Refs> host_;   // by flow
  std::unordered_map<std::uint64_t, Refs> guest_;  // by ports
};

}  // namespace glassbox::trace
