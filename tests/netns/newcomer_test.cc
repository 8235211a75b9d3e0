// `glassbox netns` under unusual conditions: mistakes on the command line, nested namespaces, containers that
// lack parts of a machine, stopped jobs, commands that leave processes behind.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "tests/netns/harness.h"

namespace glassbox {
namespace {

class Newcomer : public testing::Test {
 protected:
  void SetUp() override {
    const std::string why = why_no_netns();
    if (HasFailure()) FAIL();
    if (!why.empty()) GTEST_SKIP() << why;
  }
};

// The argv of a shell that runs `script` in new network and mount namespaces, and then `command`.
std::vector<std::string> after(const std::string& script, const std::vector<std::string>& command) {
  std::vector<std::string> words = {"unshare", "--net", "--mount", "sh", "-c", script + "; exec \"$@\"",
                                    "sh"};
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

TEST_F(Newcomer, MistakesAreOneLineAndNothingRuns) {
  const std::vector<std::vector<std::string>> mistakes = {
      {"--mtu", "abc"},
      {"--mtu", "575"},
      {"--mtu", "65521"},
      {"--mtu"},
      {"--poll", "x"},
      {"--poll", "-1"},
      {"--max-flows", "0"},
      {"--max-flows", "32769"},
      {"--max-new-flows", "0"},
      {"--deny", "1.2.3.4/33"},
      {"--deny", "::/129"},
      {"--deny", ""},
      {"--dns", "1.2.3"},
      {"--dns", "192.0.2.1", "--dns", "192.0.2.2", "--dns", "192.0.2.3", "--dns", "192.0.2.4"},
      {"--publish", "0:80"},
      {"--publish", "80:0"},
      {"--publish", "::1:80:80"},
      {"--publish", "[::1:80:80"},
      {"--publish", "80:80/tcp"},
      {"--publish", "192.0.2.77:8080:80"},  // not an address of this host
      {"--allow-host-loopback="},           // as "=$PORT" is without a PORT
      {"--allow-host-loopback=1,,2"},
      {"--allow-host-loopback=65536"},
      {"--nonsense"},
      {"echo", "forgotten dashes"}};
  for (const auto& options : mistakes) {
    const ProgramResult outcome = run(netns(sh("echo it runs"), options));
    EXPECT_EQ(outcome.status, 125) << options[0] << " " << outcome.output;
    EXPECT_TRUE(outcome.output.starts_with("glassbox: ")) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
  }
  EXPECT_NE(run(netns({}, {"echo"})).output.find("to run after --"), std::string::npos);
  EXPECT_EQ(run(netns({})).status, 0);  // a shell whose input is at its end
}

TEST_F(Newcomer, RunsWithinItself) {
  const ProgramResult outcome = run(netns(netns(netns(sh("cat /proc/net/fib_trie; exit 9")))));
  EXPECT_EQ(outcome.status, 9) << outcome.output;
  EXPECT_NE(outcome.output.find("10.0.2.15"), std::string::npos);
}

TEST_F(Newcomer, WithoutProc) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to take it away";
  if (GLASSBOX_SANITIZED) GTEST_SKIP() << "the sanitizers themselves do not start without /proc";
  const ProgramResult without_proc = run(after("mount -t tmpfs none /proc", netns(sh("exit 3"))));
  EXPECT_EQ(without_proc.status, 125);
  EXPECT_NE(without_proc.output.find("/proc is not mounted"), std::string::npos) << without_proc.output;
}

TEST_F(Newcomer, ContainersThatLackThings) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to take things away";
  const auto command = netns(sh("cat /proc/net/if_inet6; exit 3"));
  for (const char* missing : {"umount -l /sys", "mount -o remount,ro,bind /", "mount -t tmpfs none /etc"}) {
    const ProgramResult outcome = run(after(missing, command));
    EXPECT_EQ(outcome.status, 3) << missing << ": " << outcome.output;
    EXPECT_NE(outcome.output.find("eth0"), std::string::npos) << missing;
  }
  const ProgramResult without_tun = run(after("mount -t tmpfs none /dev/net", command));
  EXPECT_EQ(without_tun.status, 125);
  EXPECT_NE(without_tun.output.find("/dev/net/tun is missing"), std::string::npos) << without_tun.output;
}

// The namespace has IPv6 nevertheless. Hosts beyond the gateway are unreachable, which the NAT reports at
// once.
TEST_F(Newcomer, HostWithoutIPv6) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to take IPv6 away";
  if (::access("/proc/sys/net/ipv6", F_OK) != 0) GTEST_SKIP() << "this kernel has no IPv6 to take away";
  const std::string disable =
      "ip link set lo up; for i in all default lo; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done";
  const auto in = [&](const std::string& script) {
    return run(after(disable, netns(sh(script), {"--allow-host-loopback"})));
  };
  const ProgramResult ping = in("busybox ping -6 -c 1 -W 60 fd00:10:0:2::2");
  EXPECT_EQ(ping.status, 0) << ping.output;
  for (const char* address : {"fd00:10:0:2::2", "2001:db8::1"}) {
    const ProgramResult outcome = in(std::string("busybox nc -w 60 ") + address + " 9");
    EXPECT_EQ(outcome.status, 1) << outcome.output;
    EXPECT_EQ(outcome.output.find("timed out"), std::string::npos) << outcome.output;
  }
  const ProgramResult published = run(after(disable, netns(sh("exit 0"), {"--publish", "[::1]:8080:80"})));
  EXPECT_EQ(published.status, 125);
  EXPECT_NE(published.output.find("cannot publish [::1]:8080"), std::string::npos) << published.output;
}

std::vector<std::string> with_a_thousand_ports() {
  std::vector<std::string> options;
  for (int port = 20'000; port < 20'900; ++port)
    options.insert(options.end(), {"--publish", std::to_string(port) + ":" + std::to_string(port)});
  for (int port = 20'000; port < 20'100; ++port)
    options.insert(options.end(), {"--publish", std::to_string(port) + ":" + std::to_string(port) + "/udp"});
  return netns(sh("exit 4"), options);
}

// The soft limit on descriptors is raised; a hard limit that is too low is reported.
TEST_F(Newcomer, AThousandPublishedPorts) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make a network namespace of its own";
  EXPECT_EQ(run(after("ip link set lo up; ulimit -Sn 64", with_a_thousand_ports())).status, 4);
}

TEST_F(Newcomer, MorePublishedPortsThanDescriptors) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make a network namespace of its own";
  if (GLASSBOX_SANITIZED) GTEST_SKIP() << "a sanitizer's check of an object's type opens a pipe";
  const ProgramResult few = run(after("ip link set lo up; ulimit -n 256", with_a_thousand_ports()));
  EXPECT_EQ(few.status, 125);
  EXPECT_NE(few.output.find("Too many open files"), std::string::npos) << few.output;
}

char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const auto end = line.rfind(')');
  return end == std::string::npos || end + 2 >= line.size() ? '?' : line[end + 2];
}

// Waits until the condition holds; ctest's time-out ends the test if it never does.
void wait_for_state(pid_t pid, const std::string& states) {
  while (states.find(state_of(pid)) == std::string::npos)
    ::usleep(1000);  // between two checks
}

// In their own process group, with a parent in the same session: SIGTSTP does not stop an orphaned process
// group (POSIX, 2.4.3).
TEST_F(Newcomer, StopAndContinueReachTheCommandAndTheNatStopsWithIt) {
  Process process(netns(sh("trap 'echo stopping' TSTP; trap 'echo going on; exit 6' CONT; echo ready; "
                           "while :; do sleep 0.01; done")),
                  0, /*own_group=*/true);
  process.read_until("ready\n");
  ::kill(process.pid(), SIGTSTP);
  process.read_until("stopping\n");
  wait_for_state(process.pid(), "T");
  ::kill(process.pid(), SIGCONT);
  const ProgramResult outcome = process.wait();
  EXPECT_EQ(outcome.output, "ready\nstopping\ngoing on\n");
  EXPECT_EQ(outcome.status, 6);
}

TEST_F(Newcomer, ACommandThatDoesNotMindIsStoppedAsAJob) {
  Process process(netns(sh("echo $$; exec sleep 1000")), 0, /*own_group=*/true);
  process.read_until("\n");
  const pid_t command = std::stoi(process.take_until("\n"));
  ::kill(process.pid(), SIGTSTP);
  wait_for_state(command, "T");
  wait_for_state(process.pid(), "T");
  ::kill(process.pid(), SIGCONT);
  wait_for_state(command, "SR");
  ::kill(process.pid(), SIGTERM);
  EXPECT_EQ(process.wait().status, 128 + SIGTERM);
}

// Processes in their own sessions, without inherited descriptors, that ignore signals: they end with the
// command all the same.
TEST_F(Newcomer, DaemonsOfTheCommandEndWithIt) {
  int fds[2] = {};
  ASSERT_EQ(::pipe(fds), 0);  // without close-on-exec: a remaining process holds it
  const UniqueFd read_end(fds[0]);
  {
    const UniqueFd write_end(fds[1]);
    ::fcntl(read_end.get(), F_SETFD, FD_CLOEXEC);
    const ProgramResult outcome =
        run(netns(sh("setsid sh -c 'trap \"\" TERM HUP INT; exec <&- >&- 2>&-; (setsid sleep 1000 &) ; sleep "
                     "1000' & exit 5")));
    EXPECT_EQ(outcome.status, 5);
  }
  char byte = 0;
  EXPECT_EQ(::read(read_end.get(), &byte, 1), 0);
}

}  // namespace
}  // namespace glassbox
