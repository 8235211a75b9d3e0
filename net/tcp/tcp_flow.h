// One TCP flow: a guest's connection and the host socket that stands for its other end. The rules live in the
// three parts; Tcp decides which of them is due and moves the bytes (net/tcp/tcp.cc).
#pragma once

#include <cstdint>

#include "net/flow/flow_key.h"
#include "net/loop/event_loop.h"
#include "net/tcp/tcp_host.h"
#include "net/tcp/tcp_receive.h"
#include "net/tcp/tcp_send.h"

namespace glassbox::net {

class Tcp;

struct TcpFlow final : FdHandler {
  enum class State : std::uint8_t {
    kFree,
    kConnecting,   // the guest has sent a SYN, the host socket is being connected
    kSynSent,      // a peer has connected to a published port, the guest gets a SYN
    kSynReceived,  // the guest gets a SYN-ACK
    kOpen,         // until both streams have ended
  };

  void on_fd_ready(std::uint32_t events) override;
  // Our SYN or SYN-ACK is not answered yet.
  [[nodiscard]] bool is_opening() const { return state == State::kSynSent || state == State::kSynReceived; }

  Tcp* tcp = nullptr;
  std::uint64_t id = 0;
  FlowKey key;
  std::uint32_t index = 0;       // own place in the table
  std::uint32_t hash_slot = 0;   // where the hash names it
  std::uint32_t prev_dirty = 0;  // list of flows that may have something to send
  std::uint32_t next_dirty = 0;

  State state = State::kFree;
  bool dirty = false;
  bool immediate = false;  // connect() itself succeeded
  bool syn_due = false;    // a SYN-ACK, in kSynSent a SYN

  std::uint64_t active_ns = 0;  // last sign of life of either side
  std::uint64_t timer_ns = 0;   // when its entry in the timer heap is due, 0 if it has none

  TcpSend send;
  TcpReceive receive;
  TcpHost host;
};

}  // namespace glassbox::net
