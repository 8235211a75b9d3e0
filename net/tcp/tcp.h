// TCP between the guest and host sockets. See the theory of operation in net/tcp/tcp.cc.
//
// Thread: the network thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "net/flow/admission.h"
#include "net/link/guest_link.h"
#include "net/link/ip_input.h"
#include "net/loop/event_loop.h"
#include "net/loop/timer_heap.h"
#include "net/policy.h"
#include "net/tcp/ack_hold.h"
#include "net/tcp/bare_ack_predictor.h"
#include "net/tcp/byte_queue.h"
#include "net/tcp/tcp_flow_table.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

class Tcp {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Tcp>> create(EventLoop& loop, GuestLink& link,
                                                           DestinationPolicy& policy, Admission& admission,
                                                           NatCounters& counters);
  ~Tcp();

  // Takes one segment; payload is narrowed in place. Returns the flow number, 0 if it belongs to none.
  std::uint64_t on_segment(const TcpHeader& header, IovSlice& payload);
  // Takes a connection that was accepted for a published port; key says how the guest is to see it.
  void open_from_host(UniqueFd connection, const FlowKey& key);
  // Sends what there is to send for every flow that changed.
  void flush();
  // After the frames were published: what must not delay them.
  void after_publish();
  void on_rx_space() { rx_full_ = false; }
  void on_deadline();
  [[nodiscard]] std::uint64_t next_deadline_ns();
  // Flows that wait for receive buffers (argument of drain_to_guest).
  [[nodiscard]] std::uint32_t backlog() const { return rx_full_ ? dirty_count_ : 0; }

  void on_host_event(TcpFlow& flow, std::uint32_t events);

 private:
  struct Closing {
    int fd;
    bool reset;        // abort the connection instead of ending it
    bool carries_fin;  // this close passes the guest's FIN on
    std::uint64_t flow;
    Seq seq;
  };
  static constexpr std::size_t kMaxClosing = 64;

  Tcp(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, Admission& admission,
      NatCounters& counters, ChunkPool pool, std::unique_ptr<TcpFlowTable> table, bool can_peek);

  // tcp_connect.cc
  std::uint64_t open_flow(const TcpHeader& header);
  void begin_flow(TcpFlow& flow);
  void take_syn(TcpFlow& flow, const TcpHeader& header);
  void connect_host(TcpFlow& flow, const IpAddress& address, bool local);
  [[nodiscard]] bool pass_error(TcpFlow& flow, RefuseReason reason);
  void finish_connect(TcpFlow& flow, std::uint32_t events);
  void connected(TcpFlow& flow, bool immediate);
  void connect_failed(TcpFlow& flow, int error);
  void refuse(const FlowKey& key, Seq isn, RefuseReason reason);
  void while_connecting(TcpFlow& flow, const TcpHeader& header);

  // tcp_publish.cc
  void while_syn_sent(TcpFlow& flow, const TcpHeader& header);

  // tcp_input.cc
  bool check_control(TcpFlow& flow, const TcpHeader& header);
  bool take_ack(TcpFlow& flow, const TcpHeader& header, bool has_payload);
  void acknowledge(TcpFlow& flow, Seq ack);
  void take_duplicate_ack(TcpFlow& flow);
  void take_payload(TcpFlow& flow, const TcpHeader& header, IovSlice& payload);
  void deliver(TcpFlow& flow, IovSlice& payload);
  void hold_ack(TcpFlow& flow);
  void watch_writable(TcpFlow& flow);
  void flush_overflow(TcpFlow& flow);
  static void shut_host_if_due(TcpFlow& flow);
  void no_flow(const TcpHeader& header, std::size_t payload_bytes);

  // tcp_output.cc
  void output(TcpFlow& flow);
  [[nodiscard]] bool send_next(TcpFlow& flow);
  [[nodiscard]] bool send_stored(TcpFlow& flow, std::size_t max_bytes);
  [[nodiscard]] bool send_from_socket(TcpFlow& flow, std::size_t max_bytes);
  [[nodiscard]] std::ptrdiff_t receive(TcpFlow& flow, bool peek);
  [[nodiscard]] bool set_peek_offset(TcpFlow& flow);
  [[nodiscard]] bool begin_frame(TcpFlow& flow, std::size_t max_bytes);
  void finish_frame(TcpFlow& flow, std::size_t bytes);
  void carried_ack(TcpFlow& flow);
  [[nodiscard]] bool send_syn_ack(TcpFlow& flow);
  [[nodiscard]] bool send_control(TcpFlow& flow, Seq seq, std::uint8_t flags);
  [[nodiscard]] std::uint16_t offer_window(TcpFlow& flow);
  [[nodiscard]] std::uint32_t small_window(const TcpFlow& flow) const;
  [[nodiscard]] std::uint32_t window_limit(const TcpFlow& flow) const;
  void discard_acknowledged(TcpFlow& flow);
  void retransmit_first(TcpFlow& flow);
  void rewind(TcpFlow& flow);
  void send_reset(TcpFlow& flow);

  // tcp.cc
  void mark_dirty(TcpFlow& flow);
  void unmark_dirty(TcpFlow& flow);
  void finish_if_done(TcpFlow& flow);
  void close_socket(TcpFlow& flow, bool reset);
  void close_flow(TcpFlow& flow, CloseReason reason);
  void reset_both(TcpFlow& flow, CloseReason reason);
  void close_now(const Closing& closing);
  void start_timer(TcpFlow& flow, std::uint64_t due_ns);
  void run_timer(TcpFlow& flow);
  void end_holds();
  void retransmit_timeout(TcpFlow& flow);
  [[nodiscard]] std::uint64_t now() const { return loop_.now_ns(); }
  void count(DropReason reason, std::size_t bytes);

  EventLoop& loop_;
  GuestLink& link_;
  DestinationPolicy& policy_;
  Admission& admission_;
  NatCounters& counters_;
  ChunkPool pool_;
  std::unique_ptr<TcpFlowTable> table_;
  TimerHeap timers_;
  AckHold holds_;
  BareAckPredictor bare_acks_;
  const bool can_peek_;
  bool rx_full_ = false;
  std::uint32_t dirty_head_ = TcpFlowTable::kNone;
  std::uint32_t dirty_tail_ = TcpFlowTable::kNone;
  std::uint32_t dirty_count_ = 0;
  std::uint64_t last_flow_id_ = 0;
  std::array<Closing, kMaxClosing> closing_;
  std::size_t closing_count_ = 0;
};

}  // namespace glassbox::net
