#include "tools/bench/stack.h"

#include "tools/bench/paths.h"
#include "vmm/base/runtime_dir.h"

namespace glassbox::bench {
namespace {

constexpr int kBootLimitS = 180;  // a boot is 1 s on hardware and 4 to 10 s in the lab, more beside a build
constexpr int kStopLimitMs = 60'000;

// The client in a guest: `glassbox run -d`, `exec`, `stop`.
class GlassboxStack final : public Stack {
 public:
  explicit GlassboxStack(const CrrSpec& spec)
      : name_(fmt::format("bench-{}", ::getpid())), vcpus_(spec.vcpus), memory_mib_(spec.memory_mib) {}
  ~GlassboxStack() override {
    if (may_run_) (void)stop();
  }

  Status start(Watch& watch) override {
    GB_ASSIGN(auto child, Child::start({.what = "glassbox run",
                                        .argv = {program("glassbox"), "run", "-d", "--name", name_,
                                                 "--allow-host-loopback", "--vcpus", std::to_string(vcpus_),
                                                 "--memory", std::to_string(memory_mib_)}}));
    may_run_ = true;
    GB_ASSIGN(const ExitStatus status, watch.wait(*child, kBootLimitS));
    if (!status.ok()) return fail("{}", child->epitaph());
    return {};
  }

  std::string host() const override { return "10.0.2.2"; }
  std::vector<std::string> shell() const override { return {"sh"}; }
  std::string single_client() const override { return "gb-crr"; }
  std::string vm_name() const override { return name_; }
  pid_t pid() const override {
    const auto vm = find_running_vm(name_);
    return vm ? vm->pid : ::getpid();
  }

  Result<std::unique_ptr<Child>> run_client(std::vector<std::string> argv) override {
    std::vector<std::string> full{program("glassbox"), "exec", name_, "--"};
    full.insert(full.end(), argv.begin(), argv.end());
    return Child::start({.what = "the client in the guest", .argv = std::move(full)});
  }

  Status stop() override {
    may_run_ = false;
    GB_ASSIGN(auto child,
              Child::start({.what = "glassbox stop", .argv = {program("glassbox"), "stop", name_}}));
    if (!child->wait(kStopLimitMs)) return fail("glassbox stop {} did not end; the VM may still run", name_);
    if (!child->reap()->ok()) return fail("{}", child->epitaph());
    return {};
  }

 private:
  std::string name_;
  std::uint32_t vcpus_;
  std::uint32_t memory_mib_;
  bool may_run_ = false;
};

// The same client natively, straight to the server.
class LoopbackStack final : public Stack {
 public:
  Status start(Watch&) override { return {}; }
  std::string host() const override { return "127.0.0.1"; }
  std::vector<std::string> shell() const override { return {"busybox", "sh"}; }
  std::string single_client() const override { return program("guest/gb-crr"); }
  Result<std::unique_ptr<Child>> run_client(std::vector<std::string> argv) override {
    return Child::start({.what = "the client", .argv = std::move(argv)});
  }
  Status stop() override { return {}; }
};

}  // namespace

std::unique_ptr<Stack> make_stack(const CrrSpec& spec) {
  if (spec.stack == StackKind::kLoopback) return std::make_unique<LoopbackStack>();
  return std::make_unique<GlassboxStack>(spec);
}

}  // namespace glassbox::bench
