// The host's half of each connection: what the NAT and the server did for a flow, found by host data alone,
// so that nothing a guest claims can move it.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/flow_key.h"

namespace glassbox::trace {

using EventRef = const gb_event*;  // null: not seen

struct HostFlow {
  std::uint64_t flow = 0;
  std::uint16_t guest_port = 0, dst_port = 0;
  bool six = false;  // IPv6 in the guest
  std::int64_t first_ns = 0, last_ns = 0;
  // By host_flow_span: when the SYN's frame was taken up and the first reply published; 0: not known.
  std::uint64_t begin_ns = 0, reply_ns = 0;
  // From outside, to a published port: the guest is the server. Then syn_ack_inject is the SYN's, syn_frame
  // the SYN-ACK's, reply_* what brings the request and request_* what takes the reply.
  bool inbound = false;
  EventRef host_inbound{};
  bool remote_server = false;  // the peer is another machine: no server events can exist

  EventRef syn_frame{}, syn{}, connect_begin{}, connect_done{}, syn_ack_queued{}, syn_ack_inject{},
      syn_ack_irq{};
  EventRef request_frame{}, request_frame_end{}, request_sent{};
  EventRef accept{}, read_enter{}, read{}, write_enter{};
  EventRef reply_recv{}, reply_inject{}, reply_irq{};
  EventRef rest_recv{}, rest_inject{};  // of a reply in several parts, the last
  EventRef fin_frame{}, fin_sent{}, server_eof{}, server_close{};
  EventRef eof_recv{}, eof_inject{}, eof_irq{};
};

class FlowTable {
 public:
  // `trace` must outlive the table and its flows.
  explicit FlowTable(const Trace& trace);

  [[nodiscard]] const std::vector<HostFlow>& flows() const { return flows_; }
  // The first flow between these ports that begins in [from_ns, to_ns] host time.
  [[nodiscard]] const HostFlow* find(const FlowPorts& ports, std::int64_t from_ns, std::int64_t to_ns) const;

 private:
  std::vector<HostFlow> flows_;                                           // by time of their first event
  std::unordered_map<std::uint64_t, std::vector<std::size_t>> by_ports_;  // by flow_key()
};

}  // namespace glassbox::trace
