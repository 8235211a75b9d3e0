#include "tests/netns/world.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace glassbox {
namespace {

// Reports that it runs, and stays until it is killed.
std::unique_ptr<Process> namespace_keeper() {
  auto keeper = std::make_unique<Process>(
      std::vector<std::string>{"unshare", "--net", "sh", "-c", "echo ready; exec sleep 1000000"});
  keeper->read_until("ready\n");
  return keeper;
}

}  // namespace

World::World() : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  if (!before_ || ::unshare(CLONE_NEWNET) != 0) {
    why_not_ = std::string("cannot make a network namespace: ") + std::strerror(errno);
    return;
  }
  make();
}

World::~World() {
  if (before_) ::setns(before_.get(), CLONE_NEWNET);
}

std::vector<std::string> World::far(const std::vector<std::string>& command) const {
  std::vector<std::string> words = {"nsenter", "-t", std::to_string(far_->pid()), "-n", "--"};
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

void World::make() {
  router_ = namespace_keeper();
  far_ = namespace_keeper();
  const std::string router = std::to_string(router_->pid());
  const std::string far = std::to_string(far_->pid());
  const std::string in_router = "nsenter -t " + router + " -n ";
  const std::string in_far = "nsenter -t " + far + " -n ";
  const std::string script =
      "set -e\n"
      "ip link set lo up\n"
      "ip link add wan0 type veth peer name lan0 netns " +
      router +
      "\n"
      "ip addr add 192.0.2.1/24 dev wan0\nip link set wan0 up\n" +
      in_router + "ip addr add 192.0.2.2/24 dev lan0\n" + in_router + "ip link set lan0 up\n" + in_router +
      "ip link add wan0 type veth peer name lan0 netns " + far + "\n" + in_router +
      "ip addr add 198.51.100.1/24 dev wan0\n" + in_router + "ip link set wan0 up\n" + in_router +
      "ip route add unreachable 203.0.113.0/24\n" + in_router + "ip route add prohibit 192.88.99.0/24\n" +
      in_router + "sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'\n" +
      // An ICMP error for every datagram, not one a second.
      in_router + "sh -c 'echo 0 > /proc/sys/net/ipv4/icmp_ratelimit'\n" + in_far +
      "sh -c 'echo 0 > /proc/sys/net/ipv4/icmp_ratelimit'\n" + in_far +
      "ip addr add 198.51.100.9/24 dev lan0\n" + in_far + "ip link set lan0 up\n" + in_far +
      "ip link set lo up\n" + in_far +
      "ip route add default via 198.51.100.1\n"
      "ip route add default via 192.0.2.2\n";
  const ProgramResult outcome = run(sh(script));
  if (outcome.status != 0) why_not_ = outcome.output;
  has_ipv6_ = ::access("/proc/sys/net/ipv6", F_OK) == 0;
  if (!has_ipv6_ || !why_not_.empty()) return;
  const std::string script6 =
      "set -e\n"
      "ip addr add 2001:db8:1::1/64 dev wan0 nodad\n" +
      in_router + "ip addr add 2001:db8:1::2/64 dev lan0 nodad\n" + in_router +
      "ip addr add 2001:db8:2::1/64 dev wan0 nodad\n" + in_router +
      "sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; echo 0 > "
      "/proc/sys/net/ipv6/icmp/ratelimit'\n" +
      in_far + "sh -c 'echo 0 > /proc/sys/net/ipv6/icmp/ratelimit'\n" + in_far +
      "ip addr add 2001:db8:2::9/64 dev lan0 nodad\n" + in_far +
      "ip route add default via 2001:db8:2::1\n"
      "ip route add default via 2001:db8:1::2\n";
  const ProgramResult outcome6 = run(sh(script6));
  if (outcome6.status != 0) why_not_ = outcome6.output;
}

void NetnsWorld::SetUp() {
  if (const std::string why = why_no_netns(); !why.empty()) GTEST_SKIP() << why;
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make a network of namespaces";
  world = std::make_unique<World>();
  ASSERT_EQ(world->why_not(), "");
}

}  // namespace glassbox
