// The guest's BPF programs, as in guest_tracer_test.cc: the life of a TCP socket, and its frames on a wire.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>

#include "tests/unit/bpf/guest_tracer_fixture.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bpf {
namespace {

constexpr std::uint64_t kLoopbackLow = 0xffff'7f00'0001;    // ::ffff:127.0.0.1
constexpr std::uint64_t kVethServerLow = 0xffff'0a63'0001;  // ::ffff:10.99.0.1
constexpr std::uint64_t kVethClientLow = 0xffff'0a63'0002;

struct Cycle {
  pid_t client = 0;
  std::uint16_t server_port = 0;
};

// A listener of this process and a child that connects, sends "hello" and reads to the end; this process
// answers "hello" and closes.
Cycle run_cycle(in_addr_t address, int client_namespace = -1) {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in server{};
  server.sin_family = AF_INET;
  server.sin_addr.s_addr = htonl(address);
  socklen_t size = sizeof(server);
  EXPECT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&server), size), 0);
  EXPECT_EQ(listen(listener.get(), 1), 0);
  EXPECT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&server), &size), 0);

  const pid_t client = fork();
  if (client == 0) {
    if (client_namespace >= 0 && setns(client_namespace, CLONE_NEWNET) != 0) _exit(2);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, reinterpret_cast<sockaddr*>(&server), sizeof(server)) != 0) _exit(3);
    if (send(fd, "hello", 5, 0) != 5) _exit(4);
    char buffer[64];
    if (recv(fd, buffer, sizeof(buffer), 0) != 5) _exit(5);
    if (recv(fd, buffer, sizeof(buffer), 0) != 0) _exit(6);
    shutdown(fd, SHUT_WR);
    close(fd);
    _exit(0);
  }
  {
    const UniqueFd connection(accept(listener.get(), nullptr, nullptr));
    char buffer[64];
    EXPECT_EQ(recv(connection.get(), buffer, sizeof(buffer), 0), 5);
    EXPECT_EQ(send(connection.get(), buffer, 5, 0), 5);
  }
  int status = 0;
  EXPECT_EQ(waitpid(client, &status, 0), client);
  EXPECT_EQ(status, 0);
  return {client, ntohs(server.sin_port)};
}

TEST_P(GuestTracerTest, LifeOfASocket) {
  const Cycle cycle = run_cycle(INADDR_LOOPBACK);
  collect();

  EXPECT_EQ(only(GB_KIND_guest_socket, cycle.client).arg[0], static_cast<std::uint64_t>(AF_INET));
  const gb_event begin = only(GB_KIND_guest_connect_begin, cycle.client);
  const std::uint64_t skaddr = begin.arg[0];
  EXPECT_THAT(begin.arg,
              testing::ElementsAre(skaddr, AF_INET, cycle.server_port, 0, kLoopbackLow,
                                   only(GB_KIND_guest_socket, cycle.client).ts_ns, 0, 0, 0, 0, 0, 0));
  const gb_event done = only(GB_KIND_guest_connect_done, cycle.client);
  const std::uint64_t port = done.arg[2];
  EXPECT_NE(port, 0u);
  EXPECT_THAT(done.arg, testing::ElementsAre(skaddr, 0, port, cycle.server_port, 0, 0, 0, 0, 0, 0, 0, 0));
  const gb_event send_event = only(GB_KIND_guest_send, cycle.client);
  EXPECT_THAT(send_event.arg,
              testing::ElementsAre(skaddr, 5, port, cycle.server_port, 0, 0, 0, 0, 0, 0, 0, 0));

  const auto recv_enter = of(GB_KIND_guest_recv_enter, cycle.client);
  const auto recv_done = of(GB_KIND_guest_recv, cycle.client);
  ASSERT_EQ(recv_enter.size(), 2u);
  ASSERT_EQ(recv_done.size(), 2u);
  EXPECT_THAT(recv_done[0].arg,
              testing::ElementsAre(skaddr, 5, port, cycle.server_port, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(recv_done[1].arg[1], 0u);

  const auto closes = of(GB_KIND_guest_close, cycle.client);
  const auto closed = of(GB_KIND_guest_close_done, cycle.client);
  ASSERT_EQ(closes.size(), 2u);
  ASSERT_EQ(closed.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_THAT(closes[i].arg,
                testing::ElementsAre(skaddr, i + 1, port, cycle.server_port, 0, 0, 0, 0, 0, 0, 0, 0));
    EXPECT_THAT(closed[i].arg,
                testing::ElementsAre(skaddr, i + 1, port, cycle.server_port, 0, 0, 0, 0, 0, 0, 0, 0));
    EXPECT_GT(closed[i].ts_ns, closes[i].ts_ns);
  }
  const gb_event released = only(GB_KIND_guest_released, cycle.client);
  EXPECT_THAT(released.arg,
              testing::ElementsAre(skaddr, closed[1].ts_ns, port, cycle.server_port, 0, 0, 0, 0, 0, 0, 0, 0));
  const std::uint64_t order[] = {only(GB_KIND_guest_socket, cycle.client).ts_ns,
                                 begin.ts_ns,
                                 done.ts_ns,
                                 send_event.ts_ns,
                                 recv_enter[0].ts_ns,
                                 recv_done[0].ts_ns,
                                 closes[0].ts_ns};
  EXPECT_TRUE(std::is_sorted(std::begin(order), std::end(order)));

  std::vector<std::uint64_t> states;
  do {  // the last change comes with the server's last ACK
    collect();
    states.clear();
    for (const gb_event& event : of(GB_KIND_guest_sock_state)) {
      if (event.arg[0] != skaddr || event.ts_ns < begin.ts_ns) continue;
      states.push_back(event.arg[3]);
      EXPECT_EQ(event.arg[5], cycle.server_port);
    }
  } while (states.empty() || states.back() != TCP_CLOSE);
  EXPECT_THAT(states,
              testing::ElementsAre(TCP_SYN_SENT, TCP_ESTABLISHED, TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSE));
  EXPECT_TRUE(of(GB_KIND_guest_xmit).empty() || of(GB_KIND_guest_xmit)[0].arg[0] != port)
      << "loopback is no device";
}

TEST_P(GuestTracerTest, FailedConnectHasItsErrno) {
  const pid_t client = in_child([] {
    const UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in server{};
    server.sin_family = AF_INET;
    server.sin_port = htons(1);
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_NE(connect(fd.get(), reinterpret_cast<sockaddr*>(&server), sizeof(server)), 0);
  });
  collect();
  EXPECT_EQ(static_cast<std::int64_t>(only(GB_KIND_guest_connect_done, client).arg[1]), -ECONNREFUSED);
}

// Two namespaces joined by a veth pair that receives through NAPI and GRO, as a virtio-net device does.
class VethPair {
 public:
  VethPair() {
    namespace_ = UniqueFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    client_ = make_namespace();
    server_ = make_namespace();
    if (std::system("ip link add gb0 type veth peer name gb1 && ip addr add 10.99.0.1/24 dev gb0 && ip link "
                    "set gb0 up") != 0) {
      return;
    }
    if (std::system(fmt::format("ip link set gb1 netns /proc/{}/fd/{}", getpid(), client_.get()).c_str()) !=
        0)
      return;
    const bool server_gro = enable_gro("gb0");
    enter(client_);
    ok_ = server_gro && std::system("ip addr add 10.99.0.2/24 dev gb1 && ip link set gb1 up") == 0 &&
          enable_gro("gb1");
    enter(server_);
  }
  ~VethPair() { enter(namespace_); }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] int client() const { return client_.get(); }

 private:
  static UniqueFd make_namespace() {
    EXPECT_EQ(unshare(CLONE_NEWNET), 0);
    return UniqueFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  }
  static void enter(const UniqueFd& fd) { EXPECT_EQ(setns(fd.get(), CLONE_NEWNET), 0); }
  static bool set_feature(const char* name, std::uint32_t command, std::uint32_t on) {
    ethtool_value value{command, on};
    ifreq request{};
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&value);
    const UniqueFd fd(socket(AF_INET, SOCK_DGRAM, 0));
    return ioctl(fd.get(), SIOCETHTOOL, &request) == 0;
  }
  // veth takes the NAPI path only for frames of a peer without segmentation offload.
  static bool enable_gro(const char* name) {
    return set_feature(name, ETHTOOL_STSO, 0) && set_feature(name, ETHTOOL_SGRO, 1);
  }

  UniqueFd namespace_;
  UniqueFd client_;
  UniqueFd server_;
  bool ok_ = false;
};

TEST_P(GuestTracerTest, FramesOnTheWire) {
  const VethPair veth;
  if (!veth.ok()) GTEST_SKIP() << "no veth pair with GRO here";
  const Cycle cycle = run_cycle(0x0a630001, veth.client());
  collect();
  const std::uint64_t port = only(GB_KIND_guest_connect_done, cycle.client).arg[2];

  // What one end transmits the other receives: the same frames, seen from the other side.
  const auto frames = [&](gb_kind kind, std::uint64_t local, std::uint64_t peer) {
    std::vector<gb_event> out;
    for (const gb_event& event : of(kind)) {
      if (event.arg[0] == local && event.arg[1] == peer) out.push_back(event);
    }
    return out;
  };
  const auto sent = frames(GB_KIND_guest_xmit, port, cycle.server_port);
  const auto received = frames(GB_KIND_guest_receive, cycle.server_port, port);
  ASSERT_EQ(sent.size(), received.size());
  ASSERT_GE(sent.size(), 4u);  // SYN, ACK, data, FIN
  for (std::size_t i = 0; i < sent.size(); ++i) {
    const auto& out = sent[i].arg;
    EXPECT_THAT(received[i].arg, testing::ElementsAre(out[1], out[0], out[2], out[3], out[4], out[7], out[8],
                                                      out[5], out[6], out[9], 0, 0));
    EXPECT_EQ(out[6], kVethServerLow);
    EXPECT_EQ(out[8], kVethClientLow);
    EXPECT_LT(sent[i].ts_ns, received[i].ts_ns);
  }
  const auto& syn = sent.front().arg;
  EXPECT_EQ(syn[4], 2u);   // SYN, and ECN off
  EXPECT_EQ(syn[3], 74u);  // Ethernet, IP, TCP with MSS, SACK, timestamps, window scale
  EXPECT_EQ(syn[9], 0u);
  const auto data = std::find_if(sent.begin(), sent.end(), [](const gb_event& e) { return e.arg[9] != 0; });
  ASSERT_NE(data, sent.end());
  EXPECT_EQ(data->arg[9], 5u);
  EXPECT_EQ(data->arg[2], syn[2] + 1);
  EXPECT_EQ(frames(GB_KIND_guest_xmit, cycle.server_port, port).size(),
            frames(GB_KIND_guest_receive, port, cycle.server_port).size());
}

}  // namespace
}  // namespace glassbox::bpf
