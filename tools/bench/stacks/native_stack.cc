#include "tools/bench/stacks/native_stack.h"

#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/carrier.h"
#include "tools/bench/stacks/namespace_holder.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kStartLimitMs = 15'000;
constexpr int kLookMs = 100;
constexpr useconds_t kDeviceLookUs = 20'000;
constexpr useconds_t kSteadyUs = 100'000;
constexpr uid_t kNobody = 65534;
constexpr const char* kInterface = "eth0";
constexpr const char* kGateway = "10.0.2.2";

uid_t ordinary_user() {
  if (::geteuid() != 0) return ::geteuid();
  const char* sudo = std::getenv("SUDO_UID");
  const long uid = sudo != nullptr ? std::strtol(sudo, nullptr, 10) : 0;
  return uid > 0 ? static_cast<uid_t>(uid) : kNobody;
}

// argv as the ordinary user. setpriv execs the program, so the pid is the program's.
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

Status run_ip(std::vector<std::string> argv) {
  GB_ASSIGN(auto child, Child::start({.what = "ip", .argv = std::move(argv)}));
  if (!child->wait(kStartLimitMs)) return fail("ip does not end");
  if (const auto status = child->reap(); !status || !status->ok()) return fail("{}", child->how_it_ended());
  return {};
}

class NativeStack final : public Stack {
 public:
  NativeStack(const StackEntry& entry, std::uint32_t mtu) : entry_(entry), mtu_(mtu) {}
  ~NativeStack() override { (void)stop(); }

  Status start(Watch& watch) override {
    GB_ASSIGN(TempDir directory, TempDir::create());
    directory_.emplace(std::move(directory));
    if (::chmod(directory_->path().c_str(), 0711) != 0)
      return fail_errno(errno, "chmod of a temporary directory");
    GB_ASSIGN(HolderListener listener, HolderListener::open(directory_->file("holder")));
    listener_.emplace(std::move(listener));
    GB_TRY(launch(watch));
    return entry_.carrier.empty() ? Status{} : wait_for_device(watch);
  }

  std::string host() const override { return is_veth() ? kVethHostText : kGateway; }
  ClientPrograms client_programs() const override { return host_client_programs(); }
  pid_t pid() const override { return carrier_ ? carrier_->pid : ::getpid(); }
  std::vector<pid_t> pids() const override {
    if (!carrier_) return {};
    return {carrier_->pid};
  }

  std::vector<Child*> children() override {
    std::vector<Child*> all;
    for (const auto* child : {&tool_, &holder_process_}) {
      if (*child) all.push_back(child->get());
    }
    return all;
  }

  std::string log_line() const override {
    if (!tool_) return {};
    tool_->take_output();
    return last_line(tool_->err());
  }

  Result<std::unique_ptr<Child>> run_client(std::vector<std::string> argv) override {
    std::vector<std::string> full{"nsenter", "-t", std::to_string(holder_.pid), "-n"};
    // The namespace of an ordinary user lies in a user namespace, which only root may skip.
    if (::geteuid() != 0) full.insert(full.end(), {"-U", "--preserve-credentials"});
    full.emplace_back("--");
    full.insert(full.end(), argv.begin(), argv.end());
    return Child::start({.what = "the client", .argv = std::move(full)});
  }

  Status stop() override {
    holder_ = {};  // ends the holder, and with it a tool that runs it as its command
    // The pair would go with the namespace, but later.
    Status deleted = veth_.empty() ? Status{} : run_ip({"ip", "link", "delete", veth_});
    veth_.clear();
    if (holder_process_) holder_process_->stop(kStartLimitMs);
    if (tool_) tool_->stop(kStartLimitMs);
    holder_process_.reset();
    tool_.reset();
    carrier_.reset();
    return deleted;
  }

 private:
  bool is_veth() const { return entry_.name == "veth"; }

  std::vector<std::string> holder_command(bool unshare) const {
    std::vector<std::string> argv{program("glassbox-bench"), "hold-namespace", listener_->path()};
    if (unshare) argv.emplace_back("unshare");
    return argv;
  }

  Status launch(Watch& watch) {
    const std::string mtu = std::to_string(mtu_);
    if (entry_.carrier == "glassbox") {
      return launch_around({program("glassbox"), "netns", "--allow-host-loopback", "--mtu", mtu, "--poll",
                            entry_.poll_off ? "off" : "adaptive", "--"},
                           watch);
    }
    if (entry_.name == "bare" || entry_.name == "bare-spin") {
      return launch_around({program("glassbox-bench"), "bare-nat", entry_.name == "bare" ? "block" : "spin"},
                           watch);
    }
    if (entry_.name == "pasta") {
      return launch_beside({"pasta", "-q", "-f", "--config-net", "-a", "10.0.2.15", "-n", "24", "-g",
                            kGateway, "-I", kInterface, "-m", mtu},
                           watch);
    }
    if (entry_.name == "slirp4netns") {
      return launch_beside({"slirp4netns", "--configure", "--mtu=" + mtu}, watch);
    }
    if (is_veth()) return launch_veth(mtu, watch);
    return fail("{} cannot be started without a guest", entry_.name);
  }

  // The tool runs the holder as its command.
  Status launch_around(std::vector<std::string> argv, Watch& watch) {
    for (std::string& word : holder_command(false))
      argv.push_back(std::move(word));
    GB_ASSIGN(tool_, Child::start({.what = entry_.name, .argv = as_user(std::move(argv))}));
    return wait_for_holder(entry_.name, watch);
  }

  // The tool joins the holder's namespace.
  Status launch_beside(std::vector<std::string> argv, Watch& watch) {
    GB_ASSIGN(holder_process_,
              Child::start({.what = "the holder of the namespace", .argv = as_user(holder_command(true))}));
    GB_TRY(wait_for_holder("the namespace for " + entry_.name, watch));
    argv.push_back(std::to_string(holder_.pid));
    if (entry_.name == "slirp4netns") argv.emplace_back(kInterface);
    GB_ASSIGN(tool_, Child::start({.what = entry_.name, .argv = as_user(std::move(argv))}));
    return {};
  }

  Status launch_veth(const std::string& mtu, Watch& watch) {
    if (::geteuid() != 0) return fail("needs root");
    if (!in_path("ip")) return fail("not installed: apt-get install iproute2");
    GB_ASSIGN(holder_process_,
              Child::start({.what = "the holder of the namespace", .argv = holder_command(true)}));
    GB_TRY(wait_for_holder("the namespace for veth", watch));
    const std::string pid = std::to_string(holder_.pid);
    veth_ = "gbb" + pid;
    const std::vector<std::vector<std::string>> commands = {
        {"ip", "link", "add", veth_, "mtu", mtu, "type", "veth", "peer", "name", kInterface, "mtu", mtu,
         "netns", pid},
        {"ip", "address", "add", fmt::format("{}/30", kVethHostText), "dev", veth_},
        {"ip", "link", "set", veth_, "up"},
        {"nsenter", "-n", "-t", pid, "ip", "address", "add", "10.213.77.2/30", "dev", kInterface},
        {"nsenter", "-n", "-t", pid, "ip", "link", "set", kInterface, "up"},
    };
    for (const auto& command : commands)
      GB_TRY(run_ip(command));
    return {};
  }

  Status wait_for_holder(const std::string& what, Watch& watch) {
    for (int waited_ms = 0; waited_ms < kStartLimitMs; waited_ms += kLookMs) {
      if (listener_->waits(kLookMs)) {
        GB_ASSIGN(holder_, listener_->accept());
        return {};
      }
      GB_TRY(check_alive(watch));
    }
    return fail("{} did not start within {} s", what, kStartLimitMs / 1000);
  }

  // A tool that joins a namespace needs a moment to make its device. slirp4netns has a child do that, which
  // hands the device over and ends: the carrier is the process that still holds it after kSteadyUs.
  Status wait_for_device(Watch& watch) {
    useconds_t held_us = 0;
    for (useconds_t waited_us = 0;; waited_us += kDeviceLookUs) {
      auto found = find_carrier(tool_->pid(), kInterface, entry_.carrier);
      const bool same = found && carrier_ && carrier_->pid == found->pid;
      held_us = same ? held_us + kDeviceLookUs : 0;
      if (found) carrier_ = *found;
      if (same && held_us >= kSteadyUs) return {};
      GB_TRY(check_alive(watch));
      if (waited_us > useconds_t{kStartLimitMs} * 1000) return tl::unexpected<Error>(found.error());
      ::usleep(kDeviceLookUs);
    }
  }

  Status check_alive(Watch& watch) {
    for (Child* child : children()) {
      if (child->reap()) return fail("{}", child->how_it_ended());
    }
    if (watch.signal() != 0) return fail("{}: interrupted", entry_.name);
    return {};
  }

  const StackEntry& entry_;
  std::uint32_t mtu_;
  std::optional<TempDir> directory_;
  std::optional<HolderListener> listener_;
  std::string veth_;                       // the host's end of the pair
  std::unique_ptr<Child> holder_process_;  // if the tool does not start it
  std::unique_ptr<Child> tool_;
  NamespaceHolder holder_;
  std::optional<Carrier> carrier_;  // empty if the kernel alone carries
};

}  // namespace

std::unique_ptr<Stack> make_native_stack(const StackEntry& entry, std::uint32_t mtu) {
  return std::make_unique<NativeStack>(entry, mtu);
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

}  // namespace glassbox::bench
