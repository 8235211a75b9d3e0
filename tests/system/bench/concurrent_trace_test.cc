// Two VMs traced at once, each by its own recorder. One runs eight clients at a time. The other runs a client
// and a web server that is reached through a published port. Each cycle must be found, whole, and in its own
// trace only.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <numeric>
#include <set>

#include "tests/system/bench/live_vm.h"
#include "tests/system/bench/recording.h"
#include "tools/bench/stacks/echo.h"
#include "tools/trace/file/trace_reader.h"
#include "tools/trace/path/attribute.h"

namespace glassbox::bench::testing {
namespace {

using trace::CycleKind;

constexpr int kClients = 8, kCyclesEach = 3, kPages = 6, kSingle = 5;
constexpr int kReadyLimitMs = 120'000;

std::size_t count(const trace::Attribution& a, CycleKind kind) {
  return static_cast<std::size_t>(std::count_if(
      a.cycles.begin(), a.cycles.end(), [kind](const trace::CycleResult& c) { return c.kind == kind; }));
}

// Each cycle has its own flow, its segments add up to it, and at most 2 % of all the time is unattributed.
void expect_whole(const trace::Attribution& a) {
  std::set<std::uint64_t> flows;
  std::int64_t total = 0, unattributed = 0;
  for (const trace::CycleResult& c : a.cycles) {
    EXPECT_NE(c.flow, 0U);
    flows.insert(c.flow);
    EXPECT_EQ(std::accumulate(c.segment_ns.begin(), c.segment_ns.end(), c.unattributed_ns), c.total_ns());
    total += c.total_ns();
    unattributed += c.unattributed_ns;
  }
  EXPECT_EQ(flows.size(), a.cycles.size());
  EXPECT_LE(unattributed * 50, total) << "of " << total << " ns";
}

TEST(ConcurrentTraces, SeparateVmsClientsAndDirections) {
  if (const std::string why = why_no_traced_guest(); !why.empty()) GTEST_SKIP() << why;
  const EchoThread server;
  const std::string published = std::to_string(*bound_port(*listen_on_loopback(0)));
  const LiveVm many("concurrent-many", {"--vcpus", "2", "--allow-host-loopback"});
  const LiveVm web("concurrent-web", {"--allow-host-loopback", "--publish", published + ":8000"});
  ASSERT_EQ(
      web.exec({"sh", "-c", "mkdir /tmp/w && echo hello > /tmp/w/index.html && httpd -p 8000 -h /tmp/w"})
          .status,
      0);

  const auto directory = build_dir() / "tests" / fmt::format("concurrent-{}", ::getpid());
  std::filesystem::create_directories(directory);
  Recording of_many(many, directory / "many.trace");
  Recording of_web(web, directory / "web.trace");
  ASSERT_TRUE(of_many.ready());
  ASSERT_TRUE(of_web.ready());

  const std::string page = "http://127.0.0.1:" + published + "/";
  // The server entered accept() for the first page before the trace began, so that boundary is missing.
  EXPECT_EQ(run({"busybox", "wget", "-q", "-O", "-", page}).out, "hello\n");
  const auto clients = Child::start(
      {.what = "the clients",
       .argv = many.in_guest(
           {"sh", "-c",
            fmt::format("for c in $(seq {}); do (i=0; while [ $i -lt {} ]; do printf A | nc 10.0.2.2 {} "
                        "> /dev/null; i=$((i+1)); done) & done; wait",
                        kClients, kCyclesEach, server.port())})});
  ASSERT_TRUE(clients.has_value());
  const auto single = Child::start(
      {.what = "the client",
       .argv = web.in_guest({"gb-crr", "10.0.2.2", server.port(), "--cycles", std::to_string(kSingle)})});
  ASSERT_TRUE(single.has_value());
  for (int k = 1; k < kPages; ++k)
    EXPECT_EQ(run({"busybox", "wget", "-q", "-O", "-", page}).out, "hello\n");
  EXPECT_TRUE((*clients)->wait(kReadyLimitMs));
  EXPECT_TRUE((*single)->wait(kReadyLimitMs));

  const trace::Trace first = of_many.finish(), second = of_web.finish();
  EXPECT_EQ(first.host.lost() + first.guest.lost() + second.host.lost() + second.guest.lost(), 0U);
  const auto at_many = trace::attribute(first, trace::derive_clock(first));
  const auto at_web = trace::attribute(second, trace::derive_clock(second));
  EXPECT_EQ(at_many.cycles.size(), static_cast<std::size_t>(kClients * kCyclesEach));
  EXPECT_EQ(count(at_many, CycleKind::kFork), at_many.cycles.size());
  EXPECT_EQ(at_many.incomplete + at_many.without_flow, 0U);
  EXPECT_EQ(count(at_web, CycleKind::kSingle), static_cast<std::size_t>(kSingle));
  EXPECT_EQ(count(at_web, CycleKind::kInbound), static_cast<std::size_t>(kPages));
  EXPECT_EQ(at_web.incomplete + at_web.without_flow, 0U);
  expect_whole(at_many);
  trace::Attribution seen = at_web;
  std::erase_if(seen.cycles, [first_page = true](const trace::CycleResult& c) mutable {
    return c.kind == CycleKind::kInbound && std::exchange(first_page, false);
  });
  expect_whole(seen);
  if (!::testing::Test::HasFailure()) std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace glassbox::bench::testing
