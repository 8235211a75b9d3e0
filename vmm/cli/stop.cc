// glassbox stop NAME: powers a VM off through its agent; if the agent does not answer, a signal ends the
// monitor.
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "guest/protocol.h"
#include "vmm/cli/command.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/remote.h"
#include "vmm/client/session.h"

namespace glassbox::cli {
namespace {

constexpr int kConnectS = 10;  // the guest's vsock may not work
constexpr int kPowerOffMs = 10'000;
constexpr int kSignalMs = 10'000;

int stop(const std::string& name, int argc, char** argv) {
  const auto vm = find_vm_or_carry_on(name, argc, argv);
  if (!vm) return report(vm.error(), kExitFailure);
  const auto watch = VmWatch::open(*vm);
  if (!watch) return report(watch.error(), kExitFailure);
  const auto connection = connect_vsock(vm->vsock_path(), protocol::kExecPort, kConnectS);
  if (connection && client::request_power_off(connection->get()) && watch->wait(kPowerOffMs)) return 0;
  // Through the descriptor: the number may belong to another process by now.
  if (::syscall(SYS_pidfd_send_signal, watch->pid_fd(), SIGTERM, nullptr, 0) < 0 && errno != ESRCH) {
    return report(
        Error{fmt::format("cannot stop {} (pid {}): {}", name, vm->pid, std::strerror(errno)), errno},
        kExitFailure);
  }
  if (watch->wait(kSignalMs)) return 0;
  return report(
      Error{fmt::format("{} (pid {}) does not end on SIGTERM: kill -9 {}", name, vm->pid, vm->pid), 0},
      kExitFailure);
}

}  // namespace

void add_stop(Cli& cli) {
  auto name = std::make_shared<std::string>();
  options::App* command = cli.app.add_subcommand("stop", "Power a running VM off");
  command->add_option("name", *name, "Name of the VM; glassbox ls lists them")->required();
  command->footer("Exit status: 0 once the VM has ended, 1 if it did not.");
  command->callback([&cli, name] { cli.action = [&cli, name] { return stop(*name, cli.argc, cli.argv); }; });
}

}  // namespace glassbox::cli
