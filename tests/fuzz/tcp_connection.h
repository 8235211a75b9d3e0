// The model of one connection of the TCP script: what each end has sent, and what the other end may therefore
// see. A violation ends the program.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "net/flow/seq.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

inline constexpr Seq kIss = 0xffff'e000;  // the guest's initial sequence number; wraps early

// The streams: each byte is a function of its position.
[[nodiscard]] constexpr std::uint8_t guest_byte(std::uint32_t at) {
  return static_cast<std::uint8_t>(at * 31 + (at >> 8) * 7 + 1);
}
[[nodiscard]] constexpr std::uint8_t host_byte(std::uint32_t at) {
  return static_cast<std::uint8_t>(at * 17 + (at >> 8) * 11 + 5);
}

// The bytes of a stream that were sent, in any order: how far it has no gap, and where it may end.
class Sent {
 public:
  void add(std::uint32_t from, std::uint32_t bytes) {
    if (bytes != 0) pieces_[from] = std::max(pieces_[from], from + bytes);
    for (auto piece = pieces_.begin(); piece != pieces_.end() && piece->first <= whole_;
         piece = pieces_.erase(piece)) {
      whole_ = std::max(whole_, piece->second);
    }
  }
  void end_at(std::uint32_t at) { ends_.insert(at); }
  [[nodiscard]] std::uint32_t whole() const { return whole_; }
  [[nodiscard]] bool ends_before(std::uint32_t at) const { return !ends_.empty() && *ends_.begin() < at; }
  [[nodiscard]] bool may_end_at(std::uint32_t at) const { return ends_.contains(at); }

 private:
  std::map<std::uint32_t, std::uint32_t> pieces_;
  std::set<std::uint32_t> ends_;
  std::uint32_t whole_ = 0;
};

// The server's end of one connection. The script may have several on one guest port, one after the other.
struct HostEnd {
  UniqueFd fd;
  std::uint32_t sent = 0;
  std::uint32_t received = 0;
  bool reset = false;  // the socket reports a reset once; later reads only return end of file
};

struct Connection {
  UniqueFd listener;
  std::uint16_t port = 0;
  std::vector<HostEnd> hosts;

  Sent from_guest;         // offsets from kIss + 1
  std::uint32_t next = 0;  // where the guest's in-order sending continues
  Sent from_host;          // of all server ends: each sends the same stream
  bool known = false;      // a SYN-ACK came
  Seq nat_iss = 0;
  Seq rcv_nxt = 0;  // the guest has received everything before it
  Seq offered = 0;  // the furthest right edge that the guest has offered
  // The guest has sent a sequence number beyond its stream. A window that comes with a lower number is then
  // outdated (SND.WL1 of RFC 9293, 3.10.7.4).
  bool ahead = false;
  std::uint8_t scale = 0;   // the largest that the guest has offered
  bool nat_scales = false;  // the SYN-ACK had the option
  Seq acked = 0;            // newest acknowledgement of the NAT
  Seq window_edge = 0;      // right edge of the window that the NAT has offered

  // The server acts on its newest connection.
  void host_send(std::uint32_t bytes);
  void host_receive(std::size_t bytes);
  void host_close(bool reset);

  // The guest gets a segment, in parts. syn_window: the largest that a SYN of its has offered.
  void take_syn_ack(Seq seq, Seq ack, std::uint32_t window, bool scales, std::uint32_t syn_window);
  void take_ack(Seq ack, std::uint32_t window);
  void take_payload(Seq seq, std::span<const std::uint8_t> payload, bool fin);
};

}  // namespace glassbox::net
