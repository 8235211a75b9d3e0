// The wire between the NAT's socket and a server in another network namespace or on another machine: how long
// it takes, and what was sent on it again. Without it a slow or lossy wire looks like a server that is late.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/path.h"

namespace glassbox::trace {

class Wire {
 public:
  // The tracepoint that shows what is sent again.
  static constexpr std::string_view kResendHook = "tcp_retransmit_skb";

  // `trace` need not outlive it.
  explicit Wire(const Trace& trace);

  // False for a flow whose server is reached over loopback: what one end writes, the other has at once.
  [[nodiscard]] bool crosses(std::uint64_t flow) const { return ends_.contains(flow); }
  [[nodiscard]] bool crosses_any() const { return !ends_.empty(); }
  // False if the trace cannot contain what was sent again.
  [[nodiscard]] bool sees_resends() const { return sees_resends_; }

  // How long the handshake's last segment travelled: the difference of the two ends' changes to ESTABLISHED,
  // both by the host's clock. Empty if either was not seen.
  [[nodiscard]] std::optional<std::int64_t> travel_ns(std::uint64_t flow) const;
  // The last time in (from_ns, to_ns] at which one of the two ends sent a segment again.
  [[nodiscard]] std::optional<std::int64_t> resent(std::uint64_t flow, std::int64_t from_ns,
                                                   std::int64_t to_ns) const;
  // From when on the request waits for the server in this step: from the step's begin, or from its arrival
  // over the wire, if that is later. Empty if the trace does not tell.
  [[nodiscard]] std::optional<std::int64_t> waits_from(std::uint64_t flow, const Step& step) const;

 private:
  struct Ends {
    std::optional<std::int64_t> request_ns, travel_ns;
    std::vector<std::int64_t> resent;  // by time
  };
  std::unordered_map<std::uint64_t, Ends> ends_;  // by flow; only those over a wire
  bool sees_resends_ = false;
};

}  // namespace glassbox::trace
