#include "tools/bench/stacks/native_stack.h"

#include <algorithm>

#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/net_stack.h"

namespace glassbox::bench {
namespace {

// As large as pasta's default, and the same for all.
constexpr std::uint16_t kMtu = 65520;

class NativeStack final : public Stack {
 public:
  explicit NativeStack(std::string kind) : kind_(std::move(kind)) {}

  Status start(Watch& watch) override {
    const auto& kinds = net_stack_kinds();
    const auto kind =
        std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.name == kind_; });
    if (kind == kinds.end()) return fail("no stack {}", kind_);
    GB_ASSIGN(net_, NetStack::start(*kind, kMtu, [&watch] { return watch.signal() != 0; }));
    return {};
  }

  std::string host() const override {
    const std::uint32_t address = net_->server_address();
    return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
  }
  std::vector<std::string> shell() const override { return {"busybox", "sh"}; }
  std::string single_client() const override { return program("guest/gb-crr"); }
  pid_t pid() const override { return net_->carrier() ? net_->carrier()->pid : ::getpid(); }
  std::vector<pid_t> pids() const override {
    if (!net_->carrier()) return {};
    return {net_->carrier()->pid};
  }

  std::vector<Child*> children() override { return net_ ? net_->processes() : std::vector<Child*>{}; }
  std::string log_line() const override { return net_ ? net_->log_line() : std::string(); }

  Result<std::unique_ptr<Child>> run_client(std::vector<std::string> argv) override {
    std::vector<std::string> full{"nsenter", "-t", std::to_string(net_->agent().pid()), "-n"};
    // The namespace of an ordinary user lies in a user namespace, which only root may pass by.
    if (::geteuid() != 0) full.insert(full.end(), {"-U", "--preserve-credentials"});
    full.emplace_back("--");
    full.insert(full.end(), argv.begin(), argv.end());
    return Child::start({.what = "the client", .argv = std::move(full)});
  }

  Status stop() override {
    net_.reset();
    return {};
  }

 private:
  std::string kind_;
  std::unique_ptr<NetStack> net_;
};

}  // namespace

std::unique_ptr<Stack> make_native_stack(std::string kind) {
  return std::make_unique<NativeStack>(std::move(kind));
}

}  // namespace glassbox::bench
