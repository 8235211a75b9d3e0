// One TCP flow: a guest's connection and the host socket that stands for its other end.
//
//   sequence numbers towards the guest        snd_una <= sock_seq, snd_nxt <= snd_max
//     [snd_una, sock_seq)   read from the socket, kept in `stored` until the guest acknowledges
//     [sock_seq, ...)       still in the host socket (read with MSG_PEEK, or not at all yet)
//     eof_seq               where the host's stream ends, once that is known (host_eof)
//   from the guest
//     rcv_nxt               next byte expected;  rcv_edge  right edge of the window last offered
//     overflow              bytes before rcv_nxt that the host socket has not taken yet
#pragma once

#include <cstdint>

#include "net/flow/flow_key.h"
#include "net/flow/seq.h"
#include "net/loop/event_loop.h"
#include "net/tcp/byte_queue.h"

namespace glassbox::net {

class Tcp;

struct TcpFlow final : FdHandler {
  enum class State : std::uint8_t { kFree, kConnecting, kSynSent, kSynReceived, kOpen };

  void on_fd_ready(std::uint32_t events) override;

  Tcp* tcp = nullptr;
  std::uint64_t id = 0;
  FlowKey key;
  std::uint32_t index = 0;       // own place in the table
  std::uint32_t hash_slot = 0;   // where the hash names it
  std::uint32_t prev_dirty = 0;  // list of flows that may have something to send
  std::uint32_t next_dirty = 0;
  int fd = -1;
  State state = State::kFree;

  bool dirty = false;
  bool immediate = false;    // connect() itself succeeded
  bool syn_ack_due = false;  // or a SYN, in kSynSent
  bool ack_due = false;      // the guest waits for an acknowledgement or window
  bool local = false;        // the server is on this host
  bool hold_failed = false;  // an acknowledgement was held and no reply came (net/tcp/ack_hold.h)
  bool guest_fin = false;    // the guest's FIN was taken in order
  bool host_shut = false;    // and passed on
  bool readable = false;     // the host socket may have something to read
  bool peer_closed = false;  // EPOLLRDHUP: what is readable is all there will be
  bool host_eof = false;     // eof_seq is known
  bool host_error = false;   // reset once what is readable was read
  bool urgent = false;       // a short read does not mean that the socket is empty
  bool watches_writable = false;
  bool congested = false;  // the host socket was full: the window follows its room
  bool no_delay = false;
  bool sent_once = false;
  bool bulk = false;  // leave data in the socket (SO_PEEK_OFF) instead of storing a copy
  bool peek_on = false;
  bool one_frame = false;  // after a time-out: one frame until an acknowledgement comes
  bool keepalive_on = false;
  std::uint8_t snd_scale = 0;
  std::uint8_t rcv_scale = 0;
  bool scale_ok = false;
  std::uint8_t hops = 0;  // of a guest that counts them (net/host/hops.h), else 0
  std::uint8_t duplicate_acks = 0;
  std::uint8_t retries = 0;
  std::uint16_t mss = 0;

  Seq iss = 0, snd_una = 0, snd_nxt = 0, snd_max = 0, sock_seq = 0, eof_seq = 0, recover = 0;
  Seq peek_at = 0;  // where the kernel's peek offset stands
  std::uint32_t snd_wnd = 0;
  Seq snd_wl1 = 0, snd_wl2 = 0;
  Seq irs = 0, rcv_nxt = 0, rcv_edge = 0;
  Seq acked = 0;  // the rcv_nxt that the guest was told last
  ByteQueue stored;
  ByteQueue overflow;

  std::uint64_t active_ns = 0;      // last sign of life of either side
  std::uint64_t retransmit_ns = 0;  // 0: nothing outstanding and nothing to probe for
  std::uint64_t timer_ns = 0;       // when the heap wakes us, 0 if it does not
  std::uint64_t ack_by_ns = 0;      // the acknowledgement is held until then, 0 if it is not
  std::uint64_t asked_ns = 0;       // when the guest sent what no reply has followed yet, 0 if none
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
};

}  // namespace glassbox::net
