// A process that bpftrace is pointed at: for every line on its standard input it fires the probes of ten TCP
// cycles in the order of the real path, then of some refusals and drops, and answers with a line.
#include <iostream>
#include <string>

#include "bpf/probes.h"

namespace {

using namespace glassbox;

constexpr std::uint16_t kIpv4 = 0x0800;
constexpr std::uint16_t kTcp = 6;
constexpr std::uint16_t kSyn = 2;
constexpr std::uint16_t kSynAck = 18;
constexpr std::uint16_t kPushAck = 24;

void wait_and_wake(std::int32_t timeout_ms, std::int32_t raw, std::uint32_t visible, std::uint32_t kicked) {
  probe::net_poll_wait(timeout_ms);
  probe::net_poll_wake(timeout_ms, raw, visible, kicked);
}

void guest_frame(std::uint64_t flow, std::uint32_t seq, std::uint32_t len, std::uint16_t flags) {
  probe::process_guest_frame_begin(kIpv4, len, 1);
  if (flags == kSyn) {
    probe::tcp_syn(flow, 2, 0, 0x0a00020f, 40000, 0, 0x0a000202, 80, seq);
    probe::tcp_connect_begin(flow, 7);
    probe::tcp_connect_done(flow, 7, flow % 5 == 0 ? 111 : 0, flow % 2 == 0);
    probe::syn_ack_queued(flow, 40000, 80, 1);
  } else if (flags == kPushAck) {
    probe::host_send(flow, seq, 5, 5);
  }
  probe::process_guest_frame(flow, seq, kIpv4, kTcp, flags, len, 1);
}

void publish(std::uint64_t flow, std::uint16_t flags, std::uint16_t suppressed) {
  probe::rx_inject(flow, 1000, 74, flags, static_cast<std::uint16_t>(flow));
  probe::irq_raise(1, 0, suppressed);
}

void cycle(std::uint64_t flow) {
  wait_and_wake(-1, 1, 1, 1);  // kick
  probe::tx_kick(1);
  guest_frame(flow, 1, 74, kSyn);
  publish(flow, kSynAck, 0);
  wait_and_wake(-1, 1, 1, 1);  // kick
  guest_frame(flow, 2, 66, 16);
  guest_frame(flow, 2, 71, kPushAck);
  wait_and_wake(-1, 1, 1, 0);  // socket
  probe::host_recv(flow, 1001, 65536, 5);
  publish(flow, kPushAck, 1);
  wait_and_wake(10, 0, 0, 0);  // timeout
  wait_and_wake(10, 1, 0, 0);  // empty
  wait_and_wake(0, 0, 0, 0);   // poll
  probe::flow_close(flow, 1, 5, 5);
}

}  // namespace

int main() {
  std::uint64_t flow = 0;
  for (std::string line; std::getline(std::cin, line);) {
    for (int i = 0; i < 10; ++i)
      cycle(++flow);
    for (int i = 0; i < 3; ++i)
      probe::frame_drop(9, 100);
    probe::flow_refused(8);
    probe::net_poll_wait(-1);
    std::cout << "done" << std::endl;
  }
}
