#include "vmm/machine/stats_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "tests/unit/vmm/base/temp_dir.h"
#include "vmm/base/runtime_dir.h"

namespace glassbox {
namespace {

TEST(StatsServer, WhoeverAsksGetsTheTextOnce) {
  const test::TempDir dir;
  auto loop = net::EventLoop::create(net::ProbeMode::kNone);
  ASSERT_TRUE(loop);
  int asked = 0;
  auto server = StatsServer::create(**loop, dir.path() / "stats.sock",
                                    [&asked] { return "answer " + std::to_string(++asked) + "\n"; });
  ASSERT_TRUE(server) << server.error().message;
  std::thread thread([&] { (*loop)->run(); });
  for (int i = 1; i <= 3; ++i) {
    const auto fd = connect_vm_socket(dir.path() / "stats.sock");
    ASSERT_TRUE(fd) << fd.error().message;
    std::string text(100, '\0');
    const ssize_t got = ::recv(fd->get(), text.data(), text.size(), MSG_WAITALL);
    EXPECT_EQ(text.substr(0, static_cast<std::size_t>(std::max<ssize_t>(got, 0))),
              "answer " + std::to_string(i) + "\n");
  }
  (*loop)->stop();
  thread.join();
}

TEST(StatsServer, CountersHaveTheirNames) {
  net::NatCounters counters;
  counters.guest_frames = 5;
  counters.dropped.at(1) = 2;
  const nlohmann::json stats = stats_of(counters);
  EXPECT_EQ(stats["guest_frames"], 5);
  EXPECT_EQ(stats["dropped"].size(), 1U);
  EXPECT_EQ(stats["closed"].size(), 0U);
}

}  // namespace
}  // namespace glassbox
