#include "tools/bench/stacks/stack.h"

#include <csignal>
#include <fstream>
#include <sstream>

#include "tools/bench/process/paths.h"
#include "vmm/base/runtime_dir.h"

namespace glassbox::bench {
namespace {

constexpr int kBootLimitS = 180;  // a boot is 1 s on hardware and 4 to 10 s in the lab, more beside a build
constexpr int kStopLimitMs = 60'000;

// The client in a guest: `glassbox run -d`, `exec`, `stop`.
class GlassboxStack final : public Stack {
 public:
  explicit GlassboxStack(GlassboxVm vm) : vm_(std::move(vm)) {}
  ~GlassboxStack() override {
    if (may_run_) (void)stop();
  }

  Status start(Watch& watch) override {
    std::vector<std::string> argv{program("glassbox"),
                                  "run",
                                  "-d",
                                  "--name",
                                  vm_.name,
                                  "--allow-host-loopback",
                                  "--vcpus",
                                  fmt::format("{}", vm_.vcpus),
                                  "--memory",
                                  fmt::format("{}", vm_.memory_mib)};
    argv.insert(argv.end(), vm_.more.begin(), vm_.more.end());
    GB_ASSIGN(auto child, Child::start({.what = "glassbox run", .argv = std::move(argv)}));
    may_run_ = true;
    GB_ASSIGN(const ExitStatus status, watch.wait(*child, kBootLimitS));
    if (!status.ok()) return fail("{}", child->how_it_ended());
    return {};
  }

  std::string host() const override { return vm_.ipv6 ? "fd00:10:0:2::2" : "10.0.2.2"; }
  ClientPrograms client_programs() const override { return {{"sh"}, "gb-crr"}; }
  std::string vm_name() const override { return vm_.name; }
  pid_t pid() const override {
    const auto vm = find_running_vm(vm_.name);
    return vm ? vm->pid : ::getpid();
  }
  std::vector<pid_t> pids() const override { return {pid()}; }
  std::string log_line() const override {
    const auto vm = find_running_vm(vm_.name);
    if (!vm) return {};
    std::ostringstream text;
    text << std::ifstream(vm->dir / "console.log").rdbuf();
    return last_line(text.str());
  }

  Result<std::unique_ptr<Child>> run_client(std::vector<std::string> argv) override {
    std::vector<std::string> full{program("glassbox"), "exec", vm_.name, "--"};
    full.insert(full.end(), argv.begin(), argv.end());
    return Child::start({.what = "the client in the guest", .argv = std::move(full)});
  }

  // A monitor that is stopped or hangs does not answer. It is killed, or it would take CPU time from the next
  // stack.
  Status stop() override {
    may_run_ = false;
    Status asked = ask_to_stop();
    if (asked) return {};
    if (const auto vm = find_running_vm(vm_.name)) ::kill(vm->pid, SIGKILL);
    return asked;
  }

 private:
  Status ask_to_stop() {
    GB_ASSIGN(auto child,
              Child::start({.what = "glassbox stop", .argv = {program("glassbox"), "stop", vm_.name}}));
    if (!child->wait(kStopLimitMs))
      return fail("glassbox stop {} did not end; the VM may still run", vm_.name);
    if (!child->reap()->ok()) return fail("{}", child->how_it_ended());
    return {};
  }

  GlassboxVm vm_;
  bool may_run_ = false;
};

// The same client on the host, connected to the server directly.
class LoopbackStack final : public Stack {
 public:
  explicit LoopbackStack(bool ipv6) : ipv6_(ipv6) {}
  Status start(Watch&) override { return {}; }
  std::string host() const override { return ipv6_ ? "::1" : "127.0.0.1"; }
  ClientPrograms client_programs() const override { return host_client_programs(); }
  Result<std::unique_ptr<Child>> run_client(std::vector<std::string> argv) override {
    return Child::start({.what = "the client", .argv = std::move(argv)});
  }
  Status stop() override { return {}; }

 private:
  bool ipv6_;
};

}  // namespace

ClientPrograms host_client_programs() {
  return {{"busybox", "sh"}, program("guest/gb-crr")};
}

std::unique_ptr<Stack> make_glassbox_stack(GlassboxVm vm) {
  return std::make_unique<GlassboxStack>(std::move(vm));
}

std::unique_ptr<Stack> make_loopback_stack(bool ipv6) {
  return std::make_unique<LoopbackStack>(ipv6);
}

}  // namespace glassbox::bench
