// The window towards a guest whose server is slow: with nothing queued for the socket it is never below one
// of the guest's segments, or a guest with nothing outstanding would wait for its persist timer (RFC 9293,
// 3.8.6.2.1). The guest here has none.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <future>
#include <memory>

#include "net/tcp/byte_queue.h"
#include "net/tcp/tcp_limits.h"
#include "tests/unit/net/test_guest.h"

namespace glassbox::net {
namespace {

constexpr std::uint16_t kLargeMtu = 65520;
constexpr std::size_t kReadBytes = 65536;
constexpr int kPatienceMs = 60'000;  // only ends a test that hangs

// A connection whose server reads only when the test makes it read.
class SlowServer {
 public:
  explicit SlowServer(Bench& bench, std::uint16_t guest_port = 40000)
      : server_([this](int fd) {
          fd_.set_value(fd);
          may_end_.get_future().wait();
        }),
        guest(bench, server_.port(), guest_port),
        bench_(bench) {}
  ~SlowServer() { may_end_.set_value(); }

  [[nodiscard]] bool connect(std::uint16_t mtu, std::optional<std::uint8_t> scale) {
    guest.mss = static_cast<std::uint16_t>(mtu - kIpv4Header - kTcpHeader);
    guest.offer_scale = scale;
    if (!guest.connect()) return false;
    connected_ = fd_.get_future().get();
    const auto frames = guest.frames;
    guest.send(kTcpAck, std::string(guest.mss, 'a'));  // its acknowledgement carries the whole window
    unread_ += guest.mss;
    return guest.run_until([&] { return guest.frames > frames; });
  }
  // Full and half segments, each acknowledged before the next, until the window has no room for a full one.
  [[nodiscard]] bool fill() {
    std::string segment(guest.mss, 'b');
    const auto queued = bench_.nat->counters().overflow_bytes;
    while (guest.peer_window >= guest.mss) {
      segment.resize(segment.size() == guest.mss ? guest.mss / 2 : guest.mss);
      guest.send(kTcpAck, segment);
      unread_ += segment.size();
      if (!guest.run_until([&] { return guest.acked == guest.snd_nxt; })) return false;
      const bool nothing_queued = bench_.nat->counters().overflow_bytes == queued;
      if (nothing_queued) smallest_unqueued = std::min(smallest_unqueued, guest.peer_window);
    }
    return true;
  }
  // The server reads until the window opens, which it has to do by itself; false if all is read and it has
  // not.
  [[nodiscard]] bool drain() {
    std::vector<char> buffer(kReadBytes);
    while (guest.peer_window < guest.mss) {
      const ssize_t got = ::recv(connected_, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got > 0) unread_ -= static_cast<std::size_t>(got);
      if (!bench_.run_until([] { return true; })) return false;
      guest.pump();
      if (guest.peer_window < guest.mss && unread_ == 0) return false;
      pollfd more{connected_, POLLIN, 0};
      if (got <= 0 && ::poll(&more, 1, kPatienceMs) != 1) return false;
    }
    return true;
  }
  std::uint32_t smallest_unqueued = ~0U;

 private:
  std::promise<int> fd_;
  std::promise<void> may_end_;
  Server server_;
  int connected_ = -1;
  std::size_t unread_ = 0;

 public:
  GuestTcp guest;

 private:
  Bench& bench_;
};

struct Link {
  const char* name;
  std::uint16_t mtu;
  std::optional<std::uint8_t> scale;
};

class NatWindow : public testing::TestWithParam<Link> {};

TEST_P(NatWindow, IsNeverTooSmallForASegmentWhileNothingIsQueued) {
  const Link& link = GetParam();
  Bench bench({.allow_host_loopback = true, .mtu = link.mtu});
  SlowServer slow(bench);
  ASSERT_TRUE(slow.connect(link.mtu, link.scale));
  for (int round = 0; round < 4; ++round) {
    ASSERT_TRUE(slow.fill()) << round;
    ASSERT_GE(slow.smallest_unqueued, slow.guest.mss) << round;
    ASSERT_TRUE(slow.drain()) << round;
  }
  slow.guest.send(kTcpRst);
}

INSTANTIATE_TEST_SUITE_P(Links, NatWindow,
                         testing::Values(Link{"small_mtu", 1500, 7}, Link{"small_mtu_unscaled", 1500, {}},
                                         Link{"large_mtu", 65520, 7}, Link{"large_mtu_unscaled", 65520, {}}),
                         [](const auto& link) { return link.param.name; });

// Other flows that hold half of the pool, so that all windows get small.
class FullPool {
 public:
  explicit FullPool(Bench& bench) {
    while (bench.nat->counters().overflow_bytes < kPoolChunks * ChunkPool::kChunkBytes / 2) {
      hogs_.push_back(std::make_unique<SlowServer>(bench, static_cast<std::uint16_t>(50000 + hogs_.size())));
      const bool took =
          hogs_.size() < kMostHogs && hogs_.back()->connect(kLargeMtu, 7) && hogs_.back()->fill();
      EXPECT_TRUE(took);
      if (!took) return;
    }
  }
  ~FullPool() {
    for (const auto& hog : hogs_)
      hog->guest.send(kTcpRst);
  }

 private:
  static constexpr std::size_t kMostHogs = 64;
  std::vector<std::unique_ptr<SlowServer>> hogs_;
};

TEST(NatTcp, ScarceBuffersLeaveRoomForASegment) {
  Bench bench({.allow_host_loopback = true, .mtu = kLargeMtu});
  const FullPool full(bench);
  SlowServer slow(bench);
  ASSERT_TRUE(slow.connect(kLargeMtu, 7));
  EXPECT_LT(slow.guest.peer_window, kWindow / 4);
  for (int round = 0; round < 4; ++round) {
    ASSERT_TRUE(slow.fill()) << round;
    ASSERT_GE(slow.smallest_unqueued, slow.guest.mss) << round;
    ASSERT_TRUE(slow.drain()) << round;
  }
  slow.guest.send(kTcpRst);
}

// RFC 9293, 3.8.6: what was offered stays offered, however scarce buffers have become since.
TEST(NatTcp, ScarceBuffersTakeNoWindowBack) {
  Bench bench({.allow_host_loopback = true, .mtu = kLargeMtu});
  SlowServer slow(bench);
  ASSERT_TRUE(slow.connect(kLargeMtu, 7));
  const Seq edge = slow.guest.acked + slow.guest.peer_window;
  EXPECT_GE(slow.guest.peer_window, kWindow / 2);
  const FullPool full(bench);
  slow.guest.send(kTcpAck, std::string(slow.guest.mss, 'c'));
  ASSERT_TRUE(slow.guest.run_until([&] { return slow.guest.acked == slow.guest.snd_nxt; }));
  EXPECT_TRUE(seq_gt(slow.guest.acked + slow.guest.peer_window + (1U << kOurScale), edge));
  slow.guest.send(kTcpRst);
}

}  // namespace
}  // namespace glassbox::net
