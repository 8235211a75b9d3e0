#include "net/counters.h"

#include <fmt/format.h>

#include <iterator>

namespace glassbox::net {
namespace {

template <std::size_t N>
void append(std::string& out, std::string_view group, const std::array<std::uint64_t, N>& values,
            const std::array<std::string_view, N>& names) {
  for (std::size_t i = 1; i < N; ++i) {
    if (values.at(i) != 0) {
      fmt::format_to(std::back_inserter(out), "{}: {}: {}\n", group, names.at(i), values.at(i));
    }
  }
}

}  // namespace

std::string to_text(const NatCounters& c) {
  std::string out = fmt::format(
      "guest frames: {}\nflows: {} opened, {} open, {} connecting\n"
      "UDP flows: {} opened, {} open\nICMP echo flows: {} opened, {} open\nICMP errors passed on: {}\n"
      "DNS: {} queries, {} answered from the cache, {} sent to servers, {} without an answer, {} replies "
      "rejected\n"
      "bytes of ended flows: {} in, {} out\n"
      "retransmissions to the guest: {}\nbytes that waited for a host socket: {}\n",
      c.guest_frames, c.flows_opened, c.flows_open, c.flows_connecting, c.udp_flows_opened, c.udp_flows_open,
      c.echo_flows_opened, c.echo_flows_open, c.icmp_errors_passed, c.dns_queries, c.dns_cached,
      c.dns_forwarded, c.dns_failed, c.dns_rejected, c.bytes_in, c.bytes_out, c.retransmissions,
      c.overflow_bytes);
  append(out, "flow closed", c.closed, kCloseReasonNames);
  append(out, "flow refused", c.refused, kRefuseReasonNames);
  append(out, "frame dropped", c.dropped, kDropReasonNames);
  return out;
}

}  // namespace glassbox::net
