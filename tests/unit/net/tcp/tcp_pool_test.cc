// Servers that do not read, until the memory for what their sockets do not take has run out
// (net/tcp/byte_queue.h).
#include <deque>

#include "puppet.h"

namespace glassbox::net {
namespace {

constexpr unsigned kScale = 7;                   // ours
constexpr std::uint32_t kFrame = 250 << kScale;  // so that no window is rounded off

class TcpPool : public VirtualNat {
 protected:
  static Seq edge(const Puppet& guest) { return guest.acked + (std::uint32_t{guest.peer_window} << kScale); }
  static void send(Puppet& guest) {
    guest.send_at(guest.acked, kTcpAck, std::string(kFrame, 'a'));
    guest.turn();
  }
  // From then on the edge of the window stands still.
  static void fill_socket(Puppet& guest) {
    Seq before = 0;
    do {
      before = edge(guest);
      send(guest);
    } while (edge(guest) != before);
  }
  static void fill_window(Puppet& guest) {
    Seq before = 0;
    do {
      before = guest.acked;
      send(guest);
    } while (guest.acked != before);
  }
};

TEST_F(TcpPool, FinBehindBytesThatFoundNoMemoryHasNotCome) {
  // 64 MiB, and a window of 1 MiB each as long as half of it is free.
  constexpr std::uint16_t kFlows = 80;
  Host host(kFlows);
  std::deque<Puppet> guests;
  for (std::uint16_t i = 0; i < kFlows; ++i) {
    Puppet& guest = guests.emplace_back(loop, port, *nat, host.port, static_cast<std::uint16_t>(40000 + i));
    guest.syn_options = {2, 4, 5, 0xb4, 1, 3, 3, 0};
    ASSERT_TRUE(guest.connect());
    fill_socket(guest);
  }
  std::size_t last = 0;
  for (fill_window(guests[0]); counters()[DropReason::kNoBuffer] == 0; fill_window(guests[last]))
    ASSERT_LT(++last, guests.size()) << "there is memory left";

  Puppet& guest = guests[last];
  const Seq lost = guest.acked;
  ASSERT_TRUE(seq_gt(edge(guest), lost + kFrame)) << "the window has room";
  guest.send_at(lost, kTcpAck | kTcpFin, "the end");
  guest.turn();
  EXPECT_EQ(guest.acked, lost);

  // The servers before it go, and with them what waited for them; then it reads.
  for (std::size_t i = 0; i <= last; ++i)
    ASSERT_TRUE(host.accept());
  std::size_t received = 0;
  for (std::string piece = host.receive(); !piece.empty(); piece = host.receive()) {
    received += piece.size();
    guest.turn();
  }
  EXPECT_EQ(received, lost - (kIss + 1));
  EXPECT_FALSE(host.ended);
  guest.send_at(lost, kTcpAck | kTcpFin, "the end");
  guest.turn();
  EXPECT_EQ(host.receive(), "the end");
  EXPECT_TRUE(host.ended);
}

}  // namespace
}  // namespace glassbox::net
