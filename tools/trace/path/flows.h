// The host's half of each connection: what the NAT and the server did for a flow. It is found from host
// events alone, so that nothing a guest reports can change it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "tools/trace/file/flow_key.h"
#include "tools/trace/file/trace.h"

namespace glassbox::trace {

using EventRef = const gb_event*;  // null: not seen. Points into the trace

struct HostFlow {
  std::uint64_t flow = 0;
  std::uint16_t guest_port = 0, dst_port = 0;
  bool ipv6 = false;  // IPv6 in the guest
  std::int64_t first_ns = 0, last_ns = 0;
  // From host_flow_span: when the SYN's frame was taken and when the first reply was published; 0: not known.
  std::uint64_t begin_ns = 0, reply_ns = 0;
  // The peer connected to a published port, and the guest is the server. The fields below then describe the
  // same direction of travel: syn_ack_inject is the SYN, syn_frame the SYN-ACK, reply_* the request on its
  // way to the guest, request_* the guest's reply.
  bool inbound = false;
  EventRef host_inbound{};
  bool remote_server = false;    // the peer is another machine, so that it has no events
  std::uint64_t nat_skaddr = 0;  // the NAT's own socket towards the server; 0: not seen
  // The NAT's socket and the server's are joined by more than the host's loopback interface: the peer's
  // address is neither a loopback address nor the socket's own. What one end writes, the other has some time
  // later.
  bool over_wire = false;

  EventRef syn_frame{}, syn{}, connect_begin{}, connect_done{}, syn_ack_queued{}, syn_ack_inject{},
      syn_ack_irq{};
  EventRef request_frame{}, request_frame_end{}, request_sent{};
  EventRef accept{}, read_enter{}, read{}, write_enter{};
  EventRef reply_recv{}, reply_inject{}, reply_irq{};
  EventRef rest_recv{}, rest_inject{};  // the last part of a reply in several parts
  EventRef fin_frame{}, fin_sent{}, server_eof{}, server_close{};
  EventRef eof_recv{}, eof_inject{}, eof_irq{};
};

class HostFlows {
 public:
  // `trace` must outlive the table and its flows.
  explicit HostFlows(const Trace& trace);

  [[nodiscard]] const std::vector<HostFlow>& flows() const { return flows_; }
  // The first flow between these ports that begins in [from_ns, to_ns] host time.
  [[nodiscard]] const HostFlow* find(const FlowPorts& ports, std::int64_t from_ns, std::int64_t to_ns) const;

 private:
  std::vector<HostFlow> flows_;                                           // by time of their first event
  std::unordered_map<std::uint64_t, std::vector<std::size_t>> by_ports_;  // by flow_key()
};

}  // namespace glassbox::trace
