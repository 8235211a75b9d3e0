// The cases that need no guest: the client runs in a namespace behind the NAT, at native speed; only the host
// side is traced.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/delays/case.h"
#include "tests/delays/nat_socket.h"

namespace glassbox::delays {
namespace {

using std::chrono::milliseconds;

std::string program(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / name;
}

class DelaysNetns : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || ::access("/dev/net/tun", R_OK | W_OK) != 0)
      GTEST_SKIP() << "needs root and /dev/net/tun";
  }

  Site site() {
    return {.client =
                [](std::uint16_t port) {
                  return std::vector<std::string>{
                      program("glassbox"),        "netns",    "--allow-host-loopback", "--",
                      program("tests/delay-crr"), "10.0.2.2", std::to_string(port)};
                },
            .record =
                [this](pid_t client) {
                  nat_ = client;
                  return std::vector<std::string>{"--pid", std::to_string(client)};
                }};
  }

  pid_t nat_ = 0;
};

TEST_F(DelaysNetns, ServerPollsAccept) {
  EXPECT_TRUE(holds({.name = "server polls accept",
                     .expect = {"server_accept_wait", "server_accept_wait"},
                     .server = {.accept_sleep = milliseconds(10)},
                     .measured_by = MeasuredBy::kServer},
                    site()));
}

TEST_F(DelaysNetns, ServerThinks) {
  EXPECT_TRUE(holds({.name = "server thinks",
                     .expect = {"server_think", "server_think"},
                     .server = {.think = milliseconds(3)},
                     .measured_by = MeasuredBy::kServer},
                    site()));
}

TEST_F(DelaysNetns, ServerReadsLate) {
  EXPECT_TRUE(holds({.name = "server reads late",
                     .expect = {"server_read_wait", "server_read_wait"},
                     .server = {.read_sleep = milliseconds(5)},
                     .measured_by = MeasuredBy::kServer},
                    site()));
}

TEST_F(DelaysNetns, HostConnectIsSlow) {
  EXPECT_TRUE(holds({.name = "host connect slow",
                     .expect = {"host_connect", "host_connect"},
                     .server = {.full_backlog = true},
                     .measured_by = MeasuredBy::kConnect,
                     .pairs = 8},
                    site()));
}

TEST_F(DelaysNetns, AcknowledgementIsDelayed) {
  const auto delay = [this](int fd, bool delayed) {
    if (!delayed || nat_ == 0) return;
    if (const auto done = delay_acknowledgements(nat_, fd); !done) ADD_FAILURE() << done.error().message;
  };
  EXPECT_TRUE(holds({.name = "delayed acknowledgement",
                     .expect = {"reply_rest", "delayed_ack"},
                     .client_options = {"--reply", "2"},
                     .server = {.split_reply = true, .before_reply = delay},
                     .measured_by = MeasuredBy::kRestOfReply,
                     .pairs = 40},
                    site()));
}

}  // namespace
}  // namespace glassbox::delays
