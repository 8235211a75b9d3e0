#include "tools/bench/stacks/net_stack.h"

#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "tools/bench/process/paths.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kStartLimitMs = 15'000;
constexpr int kLookMs = 100;
constexpr uid_t kNobody = 65534;
constexpr const char* kInterface = "eth0";
constexpr std::uint32_t kGateway = 0x0a000202;  // 10.0.2.2

uid_t ordinary_user() {
  if (::geteuid() != 0) return ::geteuid();
  const char* sudo = std::getenv("SUDO_UID");
  const long uid = sudo != nullptr ? std::strtol(sudo, nullptr, 10) : 0;
  return uid > 0 ? static_cast<uid_t>(uid) : kNobody;
}

// argv as the ordinary user. setpriv becomes the program, so the pid is the program's.
std::vector<std::string> as_user(std::vector<std::string> argv) {
  if (::geteuid() != 0) return argv;
  const uid_t uid = ordinary_user();
  const passwd* entry = ::getpwuid(uid);
  const gid_t gid = entry != nullptr ? entry->pw_gid : static_cast<gid_t>(uid);
  std::vector<std::string> all = {"setpriv",
                                  fmt::format("--reuid={}", uid),
                                  fmt::format("--regid={}", gid),
                                  "--clear-groups",
                                  "--pdeathsig=TERM",
                                  "--"};
  all.insert(all.end(), argv.begin(), argv.end());
  return all;
}

Result<std::string> capture(std::vector<std::string> argv, const std::string& what) {
  GB_ASSIGN(auto child, Child::start({.what = what, .argv = std::move(argv)}));
  if (!child->wait(kStartLimitMs)) return fail("{} does not end", what);
  if (const auto status = child->reap(); !status || !status->ok()) return fail("{}", child->epitaph());
  return child->out();
}

}  // namespace

const std::vector<NetStackKind>& net_stack_kinds() {
  static const std::vector<NetStackKind> kinds = {
      {"loopback", "", "", true},
      {"veth", "", "", true},
      {"relay", "", "", true, false},
      {"bare", "bench_net", "", false},
      {"bare-spin", "bench_net", "", false},
      {"pasta", "pas", "passt", true},  // a link to passt, or one of its builds for a processor
      {"slirp4netns", "slirp4netns", "slirp4netns", true},
      {"netns-off", "glassbox", "", true},
      {"netns-adaptive", "glassbox", "", true},
  };
  return kinds;
}

Status prepare_tun() {
  if (::geteuid() != 0) return {};
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return fail_errno(errno, "cannot make a mount namespace");
  }
  std::error_code error;
  fs::create_directories("/dev/net", error);
  if (::mount("tmpfs", "/dev/net", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") != 0 ||
      ::mknod("/dev/net/tun", S_IFCHR | 0666, ::makedev(10, 200)) != 0 ||
      ::chmod("/dev/net/tun", 0666) != 0) {
    return fail_errno(errno, "cannot make a /dev/net/tun for the ordinary user");
  }
  return {};
}

Result<std::unique_ptr<NetStack>> NetStack::start(const NetStackKind& kind, std::uint16_t mtu,
                                                  std::function<bool()> cancelled) {
  const bool ours = kind.package.empty();
  if (!ours && !in_path(kind.name)) return fail("not installed: apt-get install {}", kind.package);
  std::unique_ptr<NetStack> stack(new NetStack(kind));
  stack->cancelled_ = std::move(cancelled);
  std::string directory = fs::temp_directory_path() / "bench_net-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return fail_errno(errno, "cannot make a directory");
  stack->directory_ = directory;
  if (::chmod(directory.c_str(), 0711) != 0) return fail_errno(errno, "chmod {}", directory);
  GB_ASSIGN(stack->door_, AgentDoor::open(directory + "/agent"));
  GB_TRY(stack->launch(mtu));
  GB_TRY(stack->identify());
  return stack;
}

NetStack::~NetStack() {
  agent_ = {};  // ends the agent, and with it a tool that runs it as its command
  // The pair would go with the namespace, but later.
  if (!veth_.empty()) [[maybe_unused]]
    const auto gone = capture({"ip", "link", "delete", veth_}, "ip");
  if (agent_process_) agent_process_->stop(kStartLimitMs);
  if (tool_) tool_->stop(kStartLimitMs);
  std::error_code error;
  if (!directory_.empty()) fs::remove_all(directory_, error);
}

std::uint32_t NetStack::server_address() const {
  if (kind_.name == "loopback" || kind_.name == "relay") return kLoopback;
  return kind_.name == "veth" ? kVethHost : kGateway;
}

std::vector<Child*> NetStack::processes() {
  std::vector<Child*> all;
  for (const auto* child : {&tool_, &agent_process_}) {
    if (*child) all.push_back(child->get());
  }
  return all;
}

std::string NetStack::log_line() const {
  if (!tool_) return {};
  tool_->take_output();
  return last_line(tool_->err());
}

Result<AgentLink> NetStack::admit(const std::string& who) {
  for (int waited_ms = 0; waited_ms < kStartLimitMs; waited_ms += kLookMs) {
    if (door_->waits(kLookMs)) return door_->admit(who, kStartLimitMs);
    for (Child* child : processes()) {
      if (child->reap()) return fail("{}", child->epitaph());
    }
    if (cancelled_ && cancelled_()) return fail("{}: cancelled", who);
  }
  return fail("{}: no client came out of it in {} ms", who, kStartLimitMs);
}

Status NetStack::launch(std::uint16_t mtu) {
  const std::string mtu_text = std::to_string(mtu);
  const std::string& name = kind_.name;
  if (name == "netns-off" || name == "netns-adaptive") {
    return launch_around({program("glassbox"), "netns", "--allow-host-loopback", "--mtu", mtu_text, "--poll",
                          name == "netns-off" ? "off" : "adaptive", "--"});
  }
  if (name == "bare" || name == "bare-spin") {
    return launch_around({program("bench_net"), "bare-nat", name == "bare" ? "block" : "spin"});
  }
  if (name == "pasta") {
    return launch_beside({"pasta", "-q", "-f", "--config-net", "-a", "10.0.2.15", "-n", "24", "-g",
                          "10.0.2.2", "-I", kInterface, "-m", mtu_text});
  }
  if (name == "slirp4netns") {
    return launch_beside({"slirp4netns", "--configure", fmt::format("--mtu={}", mtu)});
  }
  if (name == "veth") return launch_veth(mtu);
  GB_ASSIGN(agent_process_, Child::start({.what = "the client",
                                          .argv = as_user({program("bench_net"), "agent", door_->path()})}));
  GB_ASSIGN(agent_, admit(name));
  return {};
}

// The tool runs the agent as its command.
Status NetStack::launch_around(std::vector<std::string> argv) {
  argv.insert(argv.end(), {program("bench_net"), "agent", door_->path()});
  GB_ASSIGN(tool_, Child::start({.what = kind_.name, .argv = as_user(std::move(argv))}));
  auto agent = admit(kind_.name);
  if (!agent) {
    const std::string line = log_line();
    if (agent.error().message.find(line) != std::string::npos) return tl::unexpected<Error>(agent.error());
    return fail("{}: {}", agent.error().message, line);
  }
  agent_ = std::move(*agent);
  return {};
}

// The tool joins the agent's namespace.
Status NetStack::launch_beside(std::vector<std::string> argv) {
  GB_ASSIGN(agent_process_,
            Child::start({.what = "the client",
                          .argv = as_user({program("bench_net"), "agent", door_->path(), "unshare"})}));
  GB_ASSIGN(agent_, admit(kind_.name + "'s client"));
  argv.push_back(std::to_string(agent_.pid()));
  if (kind_.name == "slirp4netns") argv.emplace_back(kInterface);
  GB_ASSIGN(tool_, Child::start({.what = kind_.name, .argv = as_user(std::move(argv))}));
  return {};
}

Status NetStack::launch_veth(std::uint16_t mtu) {
  if (::geteuid() != 0) return fail("needs root");
  if (!in_path("ip")) return fail("not installed: apt-get install iproute2");
  GB_ASSIGN(agent_process_,
            Child::start(
                {.what = "the client", .argv = {program("bench_net"), "agent", door_->path(), "unshare"}}));
  GB_ASSIGN(agent_, admit("veth's client"));
  const std::string pid = std::to_string(agent_.pid());
  veth_ = "gbb" + pid;
  const std::string mtu_text = std::to_string(mtu);
  const std::vector<std::vector<std::string>> commands = {
      {"ip", "link", "add", veth_, "mtu", mtu_text, "type", "veth", "peer", "name", kInterface, "mtu",
       mtu_text, "netns", pid},
      {"ip", "address", "add", fmt::format("{}/30", kVethHostText), "dev", veth_},
      {"ip", "link", "set", veth_, "up"},
      {"nsenter", "-n", "-t", pid, "ip", "address", "add", "10.213.77.2/30", "dev", kInterface},
      {"nsenter", "-n", "-t", pid, "ip", "link", "set", kInterface, "up"},
  };
  for (const auto& command : commands)
    GB_TRY(capture(command, "ip"));
  return {};
}

Status NetStack::identify() {
  if (kind_.program.empty()) {
    version_ = kind_.name == "relay" ? "the relay of this program" : "the kernel";
    return {};
  }
  // A tool that joins needs a moment until its device is there.
  const std::uint64_t limit_ns = monotonic_ns() + std::uint64_t{kStartLimitMs} * 1'000'000;
  for (;;) {
    auto found = find_carrier(tool_->pid(), kInterface, kind_.program);
    if (found) {
      carrier_ = std::move(*found);
      break;
    }
    if (const auto status = tool_->reap()) return fail("{}", tool_->epitaph());
    if (cancelled_ && cancelled_()) return fail("{}: cancelled", kind_.name);
    if (monotonic_ns() > limit_ns) return tl::unexpected<Error>(found.error());
    ::usleep(20'000);
  }
  if (kind_.package.empty()) {
    version_ = GLASSBOX_VERSION;
    return {};
  }
  // One that was built by hand belongs to no package.
  const auto version = capture({"dpkg-query", "-W", "-f", "${Version}", kind_.package}, "dpkg-query");
  version_ = version ? *version : "unknown";
  return {};
}

}  // namespace glassbox::bench
