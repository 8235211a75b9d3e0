// The kernel's side of the host trace: this process is the "NAT" that connects over loopback, a child is the
// server. What belongs to the NAT's connections must be there, in causal order, and nothing else.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "bpf/host_tracer.h"
#include "tests/unit/bpf/probe_fire.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bpf {
namespace {

constexpr std::uint64_t kLoopbackLow = 0xffff'7f00'0001;  // ::ffff:127.0.0.1

struct Listener {
  UniqueFd fd;
  std::uint16_t port = 0;
};

// Dual-stack unless `family` is AF_INET.
Listener listen_loopback(int family) {
  Listener out{UniqueFd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)), 0};
  sockaddr_storage address{};
  address.ss_family = static_cast<sa_family_t>(family);
  socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  EXPECT_EQ(bind(out.fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(listen(out.fd.get(), 8), 0);
  EXPECT_EQ(getsockname(out.fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  out.port = ntohs(family == AF_INET ? reinterpret_cast<sockaddr_in*>(&address)->sin_port
                                     : reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return out;
}

void echo_once(int connection) {
  char buffer[64];
  const ssize_t got = read(connection, buffer, sizeof(buffer));
  if (got > 0 && write(connection, buffer, static_cast<std::size_t>(got)) != got) _exit(3);
}

void serve_blocking(int listener) {
  for (;;) {
    const int connection = accept(listener, nullptr, nullptr);
    echo_once(connection);
    close(connection);
  }
}

// One echo cycle as a client; returns the local port, which tells the connections apart.
std::uint16_t run_cycle(std::uint16_t port) {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  sockaddr_in local{};
  socklen_t size = sizeof(local);
  EXPECT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&local), &size), 0);
  EXPECT_EQ(send(fd.get(), "hello", 5, 0), 5);
  char buffer[64];
  EXPECT_EQ(recv(fd.get(), buffer, sizeof(buffer), 0), 5);
  EXPECT_EQ(recv(fd.get(), buffer, sizeof(buffer), 0), 0);  // the server has closed
  return ntohs(local.sin_port);
}

class HostServerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "tracing needs root";
    fire_all_probes();  // a monitor has probes; keeps them in this program
  }
  void TearDown() override {
    for (const pid_t child : children_) {
      kill(-child, SIGKILL);
      while (waitpid(-child, nullptr, 0) > 0) {
      }
    }
  }

  // A server in a process group of its own, killed at the end.
  pid_t start_server(const Listener& listener, const std::function<void(int)>& serve) {
    const pid_t child = fork();
    if (child == 0) {
      setpgid(0, 0);
      serve(listener.fd.get());
      _exit(0);
    }
    setpgid(child, child);
    children_.push_back(child);
    return child;
  }

  void start_tracing() {
    auto tracer = HostTracer::open(getpid());
    ASSERT_TRUE(tracer) << tracer.error().message;
    tracer_ = std::move(*tracer);
  }

  // Polls; events are kept in order of time.
  void collect() {
    ASSERT_TRUE(tracer_->poll([this](const gb_event& event) { events_.push_back(event); }));
    std::sort(events_.begin(), events_.end(),
              [](const gb_event& a, const gb_event& b) { return a.ts_ns < b.ts_ns; });
    EXPECT_EQ(tracer_->drops().total(), 0u);
  }

  std::vector<gb_event> of(gb_kind kind) const {
    std::vector<gb_event> out;
    for (const gb_event& event : events_) {
      if (event.kind == kind) out.push_back(event);
    }
    return out;
  }
  // The one change of a server-side socket into ESTABLISHED.
  std::vector<gb_event> accept_queued() const {
    std::vector<gb_event> out;
    for (const gb_event& event : of(GB_KIND_host_sock_state)) {
      if (event.arg[2] == TCP_SYN_RECV && event.arg[3] == TCP_ESTABLISHED) out.push_back(event);
    }
    return out;
  }

  std::unique_ptr<HostTracer> tracer_;
  std::vector<gb_event> events_;
  std::vector<pid_t> children_;
};

TEST_F(HostServerTest, CycleShowsEveryBoundaryInOrder) {
  const Listener listener = listen_loopback(AF_INET);
  start_tracing();
  const auto server = static_cast<std::uint32_t>(start_server(listener, serve_blocking));
  const std::uint16_t nat_port = run_cycle(listener.port);
  collect();

  const auto queued = accept_queued();
  ASSERT_EQ(queued.size(), 1u);
  const std::uint64_t skaddr = queued[0].arg[0];
  EXPECT_THAT(queued[0].arg,
              testing::ElementsAre(skaddr, AF_INET, TCP_SYN_RECV, TCP_ESTABLISHED, listener.port, nat_port, 0,
                                   kLoopbackLow, 0, kLoopbackLow, 0, 0));

  const auto accept = of(GB_KIND_host_accept);
  ASSERT_EQ(accept.size(), 1u);
  const std::uint64_t fd = accept[0].arg[0];
  EXPECT_THAT(accept[0].arg, testing::ElementsAre(fd, skaddr, listener.port, nat_port, 0, kLoopbackLow, 0,
                                                  kLoopbackLow, 0, 0, 0, 0));
  EXPECT_EQ(accept[0].tgid, server);
  const auto accept_enter = of(GB_KIND_host_accept_enter);
  ASSERT_EQ(accept_enter.size(), 1u);
  EXPECT_EQ(accept_enter[0].arg[0], static_cast<std::uint64_t>(listener.fd.get()));
  EXPECT_EQ(accept_enter[0].arg[2], listener.port);

  const struct {
    gb_kind kind;
    std::uint64_t last;
  } calls[] = {{GB_KIND_host_server_read_enter, 0},
               {GB_KIND_host_server_read, 5},
               {GB_KIND_host_server_write_enter, 0},
               {GB_KIND_host_server_write, 5},
               {GB_KIND_host_server_shutdown, 2}};
  std::uint64_t previous_ns = std::max(accept[0].ts_ns, queued[0].ts_ns);
  for (const auto& call : calls) {
    SCOPED_TRACE(call.kind);
    const auto seen = of(call.kind);
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_THAT(seen[0].arg,
                testing::ElementsAre(fd, skaddr, listener.port, nat_port, call.last, 0, 0, 0, 0, 0, 0, 0));
    EXPECT_EQ(seen[0].tgid, server);
    EXPECT_GT(seen[0].ts_ns, previous_ns);
    previous_ns = seen[0].ts_ns;
  }
}

TEST_F(HostServerTest, NatSocketIsFollowedFromConnectToClose) {
  const Listener listener = listen_loopback(AF_INET);
  start_tracing();
  start_server(listener, serve_blocking);
  const std::uint16_t nat_port = run_cycle(listener.port);

  std::vector<std::uint64_t> states;
  do {  // the last change comes with the server's last ACK
    collect();
    states.clear();
    std::uint64_t skaddr = 0;
    for (const gb_event& event : of(GB_KIND_host_sock_state)) {
      if (event.arg[3] == TCP_SYN_SENT) skaddr = event.arg[0];
      if (event.arg[0] != skaddr) continue;
      states.push_back(event.arg[3]);
      EXPECT_EQ(event.arg[5], listener.port);
      if (event.arg[3] != TCP_SYN_SENT) {
        EXPECT_EQ(event.arg[4], nat_port) << "into state " << event.arg[3];
      }
    }
  } while (states.empty() || states.back() != TCP_CLOSE);
  // The server closes first.
  EXPECT_THAT(states,
              testing::ElementsAre(TCP_SYN_SENT, TCP_ESTABLISHED, TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSE));
}

TEST_F(HostServerTest, ServerThatWaitsInAcceptWhenTracingBeginsIsSeen) {
  const Listener listener = listen_loopback(AF_INET);
  start_server(listener, serve_blocking);
  run_cycle(listener.port);  // it has come round to accept(), or will any moment
  start_tracing();
  run_cycle(listener.port);
  run_cycle(listener.port);
  collect();
  EXPECT_EQ(of(GB_KIND_host_accept).size(), 2u);
  EXPECT_GE(of(GB_KIND_host_accept_enter).size(), 1u);
  EXPECT_EQ(of(GB_KIND_host_server_read).size(), 2u);
}

TEST_F(HostServerTest, ConnectionsOfOthersAreNotReported) {
  const Listener listener = listen_loopback(AF_INET);
  start_tracing();
  start_server(listener, serve_blocking);
  const pid_t other = fork();
  if (other == 0) {
    for (int i = 0; i < 20; ++i)
      run_cycle(listener.port);
    _exit(0);
  }
  ASSERT_EQ(waitpid(other, nullptr, 0), other);
  const std::uint16_t nat_port = run_cycle(listener.port);
  collect();
  EXPECT_EQ(accept_queued().size(), 1u);
  EXPECT_EQ(of(GB_KIND_host_accept).size(), 1u);
  EXPECT_EQ(of(GB_KIND_host_accept_enter).size(), 1u);
  for (const gb_kind kind :
       {GB_KIND_host_server_read, GB_KIND_host_server_write, GB_KIND_host_server_shutdown}) {
    const auto seen = of(kind);
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].arg[3], nat_port);
  }
}

TEST_F(HostServerTest, DualStackServerThatForksAndPollsIsSeen) {
  const Listener listener = listen_loopback(AF_INET6);
  start_tracing();
  const auto parent = static_cast<std::uint32_t>(start_server(listener, [](int fd) {
    signal(SIGCHLD, SIG_IGN);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (;;) {
      pollfd ready{fd, POLLIN, 0};
      poll(&ready, 1, -1);
      const int connection = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) continue;
      if (fork() == 0) {
        char byte[8];
        const ssize_t got = recv(connection, byte, sizeof(byte), 0);
        if (got > 0) send(connection, byte, static_cast<std::size_t>(got), 0);
        shutdown(connection, SHUT_WR);
        _exit(0);
      }
      close(connection);
    }
  }));
  const std::uint16_t nat_port = run_cycle(listener.port);
  collect();
  const auto accept = of(GB_KIND_host_accept);
  ASSERT_EQ(accept.size(), 1u);
  EXPECT_EQ(accept[0].tgid, parent);
  EXPECT_EQ(accept[0].arg[3], nat_port);
  EXPECT_EQ(accept[0].arg[5], kLoopbackLow);  // mapped, as an IPv4 socket would have it
  const auto read = of(GB_KIND_host_server_read);
  ASSERT_EQ(read.size(), 1u);
  EXPECT_NE(read[0].tgid, parent);
  EXPECT_EQ(read[0].arg[4], 5u);
  const auto shutdown = of(GB_KIND_host_server_shutdown);
  EXPECT_THAT(shutdown, testing::Contains(testing::Field(&gb_event::tgid, read[0].tgid)));
}

// The client sleeps for each answer and the server for each request, so both have to be woken and switched
// to.
TEST_F(HostServerTest, SchedulingOfTheTargetAndOfServersOnly) {
  const Listener listener = listen_loopback(AF_INET);
  start_tracing();
  const auto server = static_cast<std::uint32_t>(start_server(listener, serve_blocking));
  for (int k = 0; k < 20; ++k)
    run_cycle(listener.port);
  collect();
  const auto own = static_cast<std::uint32_t>(getpid());
  for (const gb_kind kind : {GB_KIND_host_sched_out, GB_KIND_host_sched_in, GB_KIND_host_sched_wakeup}) {
    SCOPED_TRACE(kind);
    std::size_t of_server = 0, of_target = 0;
    for (const gb_event& e : of(kind)) {
      EXPECT_TRUE(e.arg[1] == server || e.arg[1] == own) << e.arg[1];
      of_server += e.arg[1] == server ? 1 : 0;
      of_target += e.arg[1] == own ? 1 : 0;
    }
    EXPECT_GT(of_server, 0u);
    EXPECT_GT(of_target, 0u);
  }
  // Between two of a thread's departures lies an arrival; a sleeper is woken before it.
  bool on_cpu = true, asleep = false;
  for (const gb_event& e : events_) {
    if (e.arg[0] != server) continue;
    if (e.kind == GB_KIND_host_sched_out) {
      EXPECT_TRUE(on_cpu);
      on_cpu = false;
      asleep = e.arg[2] != 0;
    } else if (e.kind == GB_KIND_host_sched_wakeup) {
      asleep = false;
    } else if (e.kind == GB_KIND_host_sched_in) {
      EXPECT_FALSE(asleep);
      on_cpu = true;
    }
  }
}

TEST_F(HostServerTest, FailedReadHasItsErrno) {
  const Listener listener = listen_loopback(AF_INET);
  start_tracing();
  start_server(listener, [](int fd) {
    for (;;) {
      const int connection = accept(fd, nullptr, nullptr);
      fcntl(connection, F_SETFL, O_NONBLOCK);
      char buffer[64];
      recv(connection, nullptr, 0, 0);
      // Drained, so that the second read finds nothing.
      pollfd ready{connection, POLLIN, 0};
      poll(&ready, 1, -1);
      const ssize_t got = read(connection, buffer, sizeof(buffer));
      if (read(connection, buffer + got, 1) >= 0) _exit(4);
      if (send(connection, buffer, static_cast<std::size_t>(got), 0) != got) _exit(5);
      close(connection);
    }
  });
  run_cycle(listener.port);
  collect();
  EXPECT_THAT(of(GB_KIND_host_server_read),
              testing::Contains(testing::ResultOf(
                  [](const gb_event& e) { return static_cast<std::int64_t>(e.arg[4]); }, -EAGAIN)));
}

// A SYN that a full listener drops is sent again after a second.
TEST_F(HostServerTest, WhatASocketOfTheNatSendsAgainIsReported) {
  const Listener listener = listen_loopback(AF_INET);
  ASSERT_EQ(listen(listener.fd.get(), 0), 0);
  start_tracing();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(listener.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::vector<UniqueFd> connections;
  for (int k = 0; k < 4; ++k) {  // one fits into the queue
    connections.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)connect(connections.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  }
  for (int k = 0; k < 400 && of(GB_KIND_host_resend).empty(); ++k) {
    poll(nullptr, 0, 20);
    collect();
  }
  const auto again = of(GB_KIND_host_resend);
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again.front().host_resend.peer_port, listener.port);
  const auto states = of(GB_KIND_host_sock_state);
  EXPECT_TRUE(std::any_of(states.begin(), states.end(), [&again](const gb_event& e) {
    return e.host_sock_state.skaddr == again.front().host_resend.skaddr;
  })) << "the correlator is that of a socket of the NAT";
}

// Inside a pid namespace this process has another number than the kernel's programs see.
TEST_F(HostServerTest, ATracerInsideAPidNamespaceSeesTheServerToo) {
  const pid_t outer = fork();
  if (outer == 0) {
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) _exit(10);
    const pid_t init = fork();
    if (init != 0) {
      int status = 0;
      waitpid(init, &status, 0);
      _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 11);
    }
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(12);
    if (mount("proc", "/proc", "proc", 0, nullptr) != 0) _exit(13);
    const Listener listener = listen_loopback(AF_INET);
    const pid_t server = fork();
    if (server == 0) {
      serve_blocking(listener.fd.get());
      _exit(0);
    }
    auto tracer = HostTracer::open(getpid());
    if (!tracer) _exit(14);
    fire_all_probes();
    (void)run_cycle(listener.port);
    std::size_t reads = 0, switches = 0;
    (void)(*tracer)->poll([&](const gb_event& e) {
      reads += e.kind == GB_KIND_host_server_read ? 1 : 0;
      switches += e.kind == GB_KIND_host_sched_out ? 1 : 0;
    });
    kill(server, SIGKILL);
    _exit(reads == 0 ? 15 : switches == 0 ? 16 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(outer, &status, 0), outer);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) >= 10 && WEXITSTATUS(status) <= 13) GTEST_SKIP() << "no pid namespace can be made";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace glassbox::bpf
