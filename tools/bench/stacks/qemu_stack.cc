#include "tools/bench/stacks/qemu_stack.h"

#include <linux/vm_sockets.h>
#include <sys/socket.h>

#include <array>
#include <fstream>
#include <sstream>

#include "guest/protocol.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/stack_list.h"
#include "vmm/base/socket_address.h"
#include "vmm/machine/machine.h"

namespace glassbox::bench {
namespace {

constexpr int kBootLimitS = 120;
constexpr int kStopLimitMs = 10'000;
constexpr std::uint32_t kFirstCid = 0x10000;  // out of the way of those that people choose

std::uint32_t next_cid() {
  static std::uint32_t used = 0;
  return kFirstCid + (static_cast<std::uint32_t>(::getpid()) << 8) + (used++ & 0xff);
}

class QemuStack final : public Stack {
 public:
  QemuStack(QemuVm vm, GuestReadyPort& ready_port)
      : vm_(std::move(vm)), ready_port_(ready_port), cid_(next_cid()) {}

  Status start(Watch& watch) override {
    GB_ASSIGN(TempDir directory, TempDir::create());
    directory_ = std::make_unique<TempDir>(std::move(directory));
    const std::string console = directory_->file("console");
    UniqueFd ours;
    if (vm_.passt) {
      std::array<int, 2> pair{};
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) < 0) {
        return fail_errno(errno, "socketpair");
      }
      ours.reset(pair[0]);
      const UniqueFd theirs(pair[1]);
      GB_ASSIGN(passt_, Child::start({.what = "passt",
                                      .argv = {"passt", "-q", "-f", "-a", "10.0.2.15", "-n", "24", "-g",
                                               "10.0.2.2", "-F", std::to_string(theirs.get())},
                                      .inherit = {theirs.get()}}));
    }
    ChildSpec qemu{.what = "QEMU", .argv = qemu_argv(vm_, cid_, ours.get(), console)};
    if (ours) qemu.inherit = {ours.get()};
    GB_ASSIGN(qemu_, Child::start(std::move(qemu)));
    return ready_port_.wait(cid_, *qemu_, kBootLimitS, watch);
  }

  std::string host() const override { return "10.0.2.2"; }
  ClientPrograms client_programs() const override { return {{"sh"}, "gb-crr"}; }
  pid_t pid() const override { return qemu_ ? qemu_->pid() : ::getpid(); }
  std::vector<pid_t> pids() const override {
    std::vector<pid_t> all{qemu_->pid()};
    if (passt_) all.push_back(passt_->pid());
    return all;
  }

  std::vector<Child*> children() override {
    std::vector<Child*> all;
    for (const auto& child : {&qemu_, &passt_}) {
      if (*child) all.push_back(child->get());
    }
    return all;
  }

  Result<std::unique_ptr<Child>> run_client(std::vector<std::string> argv) override {
    std::vector<std::string> full{program("glassbox-bench"), "in-guest", std::to_string(cid_)};
    full.insert(full.end(), argv.begin(), argv.end());
    return Child::start({.what = "the client in the guest", .argv = std::move(full)});
  }

  // The guest has nothing to save.
  Status stop() override {
    if (qemu_) qemu_->stop(kStopLimitMs);
    if (passt_) passt_->stop(kStopLimitMs);
    return {};
  }

  std::string log_line() const override {
    if (!directory_) return {};
    std::ostringstream text;
    text << std::ifstream(directory_->file("console")).rdbuf();
    return last_line(text.str());
  }

 private:
  QemuVm vm_;
  GuestReadyPort& ready_port_;
  std::uint32_t cid_;
  std::unique_ptr<TempDir> directory_;
  std::unique_ptr<Child> passt_, qemu_;  // QEMU ends first
};

}  // namespace

std::vector<std::string> qemu_machines(const std::string& option, const std::string& booted) {
  if (!booted.empty()) return {booted};
  if (option == "auto") return {"microvm", "q35"};
  return {option};
}

std::vector<std::string> qemu_argv(const QemuVm& vm, std::uint32_t cid, int passt_fd,
                                   const std::string& console) {
  // microvm needs a clock chip, or the guest spins for half a minute in search of one.
  const std::string machine = vm.machine == "microvm" ? "microvm,pcie=on,rtc=on,acpi=on" : vm.machine;
  const std::string netdev =
      vm.passt ? fmt::format("stream,id=net,addr.type=fd,addr.str={}", passt_fd) : std::string("user,id=net");
  return {"qemu-system-x86_64",
          "-nodefaults",
          "-no-user-config",
          "-display",
          "none",
          "-no-reboot",
          "-accel",
          "kvm",
          "-cpu",
          "host",
          "-M",
          machine,
          "-smp",
          std::to_string(vm.vcpus),
          "-m",
          fmt::format("{}M", vm.memory_mib),
          "-kernel",
          program("guest/vmlinuz"),
          "-initrd",
          program("guest/initramfs.cpio"),
          "-append",
          default_command_line() + " " + kGuestArguments,
          "-serial",
          "file:" + console,
          "-netdev",
          netdev,
          "-device",
          "virtio-net-pci,netdev=net,romfile=",
          "-device",
          fmt::format("vhost-vsock-pci,guest-cid={}", cid),
          "-device",
          "virtio-rng-pci"};
}

std::unique_ptr<Stack> make_qemu_stack(QemuVm vm, GuestReadyPort& ready_port) {
  return std::make_unique<QemuStack>(std::move(vm), ready_port);
}

Result<GuestReadyPort> GuestReadyPort::open() {
  if (::access("/dev/vhost-vsock", F_OK) != 0) {
    // As root the module is a moment away; anybody else is told by the line below.
    auto probe = Child::start({.what = "modprobe", .argv = {"modprobe", "vhost_vsock"}});
    if (probe) (*probe)->wait(kStopLimitMs);
  }
  if (::access("/dev/vhost-vsock", R_OK | W_OK) != 0) {
    return fail_errno(errno, "QEMU's guests are reached through /dev/vhost-vsock (modprobe vhost_vsock)");
  }
  UniqueFd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(errno, "no vsock on this host");
  const sockaddr_vm address = vsock_address(VMADDR_CID_ANY, protocol::kReadyPort);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0 ||
      ::listen(socket.get(), 16) < 0) {
    return fail_errno(errno, "the host's vsock port {} (another compare?)", protocol::kReadyPort);
  }
  return GuestReadyPort(std::move(socket));
}

Status GuestReadyPort::wait(std::uint32_t cid, Child& vm, int limit_s, Watch& watch) {
  while (came_.erase(cid) == 0) {
    GB_TRY(watch.wait_readable(socket_.get(), vm, limit_s));
    sockaddr_vm peer{};
    socklen_t size = sizeof(peer);
    const UniqueFd connection(
        ::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC));
    if (connection) came_.insert(peer.svm_cid);
  }
  return {};
}

}  // namespace glassbox::bench
