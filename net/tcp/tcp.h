// TCP between the guest and host sockets. See the theory of operation in net/tcp/tcp.cc.
//
// A turn of the event loop calls on_segment() for every segment, on_host_event() for every socket that has
// news, on_deadline() if it is time, then flush(), and after_publish() once the frames are with the guest.
//
// Thread: the network thread. Nothing waits, and nothing allocates after create().
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "net/drain.h"
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
  // All arguments must outlive it. Fails if the memory of the tables cannot be reserved.
  [[nodiscard]] static Result<std::unique_ptr<Tcp>> create(EventLoop& loop, GuestLink& link,
                                                           DestinationPolicy& policy, Admission& admission,
                                                           NatCounters& counters);
  ~Tcp();

  // Takes one segment; payload is narrowed in place. Returns the flow number, 0 if it belongs to none.
  std::uint64_t on_segment(const TcpHeader& header, IovSlice& payload);
  // Takes a connection that was accepted for a published port; key says how the guest is to see it.
  void open_from_host(UniqueFd connection, const FlowKey& key);
  // Sends what there is to send for every flow that changed, as long as there are receive buffers.
  void flush();
  // Closes the sockets of flows that ended: it must not delay the frames, so it comes after they are
  // published.
  void after_publish();
  // The guest has added receive buffers.
  void on_rx_space() { rx_full_ = false; }
  // Runs what is due at the loop's now_ns().
  void on_deadline();
  // CLOCK_MONOTONIC in nanoseconds, 0 if nothing is to be waited for.
  [[nodiscard]] std::uint64_t next_deadline_ns();
  // Flows that wait for receive buffers (argument of drain_to_guest).
  [[nodiscard]] std::uint32_t backlog() const { return rx_full_ ? dirty_count_ : 0; }

  void on_host_event(TcpFlow& flow, std::uint32_t events);

  // The guest has ended. kMachine: nothing is sent to it any more, and nothing more is expected of it.
  void guest_has_ended(GuestEnd end);
  // What it is still owed. Two system calls for each flow whose stream it has ended.
  [[nodiscard]] Undelivered undelivered() const;

 private:
  // A socket that after_publish() closes.
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
  void connect_host(TcpFlow& flow, const IpAddress& address);
  [[nodiscard]] bool pass_error(TcpFlow& flow, RefuseReason reason);
  void finish_connect(TcpFlow& flow, std::uint32_t events);
  void connected(TcpFlow& flow, bool immediate);
  void connect_failed(TcpFlow& flow, int error);
  void refuse(const FlowKey& key, Seq initial, RefuseReason reason);
  void while_connecting(TcpFlow& flow, const TcpHeader& header);

  // tcp_publish.cc
  void while_syn_sent(TcpFlow& flow, const TcpHeader& header);

  // tcp_input.cc
  [[nodiscard]] bool check_control(TcpFlow& flow, const TcpHeader& header);
  [[nodiscard]] bool take_ack(TcpFlow& flow, const TcpHeader& header, bool has_payload);
  [[nodiscard]] bool take_ack_of_syn(TcpFlow& flow, const TcpHeader& header, bool has_payload);
  void acknowledge(TcpFlow& flow, Seq ack);
  void take_payload(TcpFlow& flow, const TcpHeader& header, IovSlice& payload);
  void deliver(TcpFlow& flow, IovSlice& payload);
  void hold_ack(TcpFlow& flow);
  void watch_writable(TcpFlow& flow);
  void flush_overflow(TcpFlow& flow);
  static void shut_host_if_due(TcpFlow& flow);
  void no_flow(const TcpHeader& header, std::size_t payload_bytes);

  // tcp_output.cc: one flow's frames. Those that return bool say whether it is worth trying another frame.
  void output(TcpFlow& flow);
  [[nodiscard]] bool send_next(TcpFlow& flow);
  bool send_payload(TcpFlow& flow, std::size_t max_bytes);
  [[nodiscard]] bool begin_frame(TcpFlow& flow, std::size_t max_bytes);
  void finish_frame(TcpFlow& flow, std::size_t bytes);
  [[nodiscard]] bool send_syn(TcpFlow& flow);
  void send_ack(TcpFlow& flow, Seq seq);
  [[nodiscard]] bool send_fin(TcpFlow& flow);
  bool send_empty(TcpFlow& flow, Seq seq, std::uint8_t flags);
  void repeat_first(TcpFlow& flow);
  void send_reset(TcpFlow& flow);
  [[nodiscard]] std::uint16_t offer_window(TcpFlow& flow);
  [[nodiscard]] bool memory_is_scarce() const { return pool_.free_bytes() < pool_.total_bytes() / 2; }
  [[nodiscard]] std::uint32_t segment_of(const TcpFlow& flow) const { return link_.max_mss(flow.key); }

  // tcp_read.cc: bytes out of the host socket.
  [[nodiscard]] bool send_stored(TcpFlow& flow, std::size_t max_bytes);
  [[nodiscard]] bool send_from_socket(TcpFlow& flow, std::size_t max_bytes);
  [[nodiscard]] bool choose_peek(TcpFlow& flow, std::size_t& max_bytes, bool& peek);
  [[nodiscard]] bool take_end(TcpFlow& flow, std::ptrdiff_t got);
  void discard_acknowledged(TcpFlow& flow);

  // tcp_drain.cc
  [[nodiscard]] std::uint64_t bytes_at_risk(const TcpFlow& flow) const;
  [[nodiscard]] bool machine_is_gone() const { return guest_end_ == GuestEnd::kMachine; }

  // tcp.cc
  void mark_dirty(TcpFlow& flow);
  void unmark_dirty(TcpFlow& flow);
  void finish_if_done(TcpFlow& flow);
  void close_socket(TcpFlow& flow, bool reset);
  void close_flow(TcpFlow& flow, CloseReason reason);
  void reset_both(TcpFlow& flow, CloseReason reason);
  static void close_now(const Closing& closing);
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
  std::optional<GuestEnd> guest_end_;
  bool rx_full_ = false;  // the guest has no receive buffers left
  std::uint32_t dirty_head_ = TcpFlowTable::kNone;
  std::uint32_t dirty_tail_ = TcpFlowTable::kNone;
  std::uint32_t dirty_count_ = 0;
  std::uint64_t last_flow_id_ = 0;
  std::array<Closing, kMaxClosing> closing_;
  std::size_t closing_count_ = 0;
};

}  // namespace glassbox::net
