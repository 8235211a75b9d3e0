// glassbox run: boots a guest and runs a command in it, shows its console, or leaves it running.
//
// Theory of operation. The machine has a thread of its own (vm_host.h); the main thread waits for the first
// of: the agent is up (client/ready_listener.h), the machine has ended, a signal. Then it runs the command
// over the VM's vsock socket as `exec` does (client/session.h). Without a usable KVM all of this happens
// inside the lab (base/lab.h). The destructor of VmHost removes the runtime directory, however the run ends.
#include "vmm/cli/run.h"

#include "vmm/base/lab.h"
#include "vmm/base/log.h"
#include "vmm/cli/command.h"
#include "vmm/cli/network_options.h"
#include "vmm/kvm/usability.h"

namespace glassbox::cli {
namespace {

int run(RunOptions& options, int argc, char** argv) {
  if (const Status status = complete(options); !status) return report(status.error(), kExitOurFailure);
  const kvm::Usability usability = kvm::check_kvm_briefly();
  if (!usability.usable) return report(carry_on_in_lab(argc, argv, usability.reason), kExitOurFailure);
  if (const std::string misfit = kernel_misfit(options.vm.image()); !misfit.empty())
    spdlog::warn("{}", misfit);
  if (options.detach) return run_detached(options);
  if (options.vm.console_on_stdio) return run_with_console(options);
  return run_with_command(options);
}

}  // namespace

void add_run(Cli& cli) {
  auto options = std::make_shared<RunOptions>();
  VmSpec& vm = options->vm;
  options::App* command =
      cli.app.add_subcommand("run", "Boot a guest and run a command in it (glassbox run -- CMD ARGS)");
  command->add_option(
      "--kernel", vm.kernel,
      "Kernel, bzImage or ELF (default: guest/vmlinuz next to this program). If the image lacks its "
      "modules, they are taken from next to it or from /lib/modules");
  command->add_option("--initrd", vm.initrd, "Image (default: guest/initramfs.cpio next to this program)");
  command
      ->add_option(
          "--add", options->add,
          "Copy a file or folder of the host into the guest, HOSTPATH[:GUESTPATH], with owners and links")
      ->allow_extra_args(false);
  command->add_option("--append", vm.append, "Kernel arguments, after glassbox's own");
  command->add_option("--vcpus", vm.vcpus, "Virtual processors")->capture_default_str();
  command->add_option("--memory", vm.memory_mib, "Guest memory in MiB")->capture_default_str();
  command->add_option("--name", vm.name, "Name of the VM (default: vm-PID)");
  command->add_flag("-d,--detach", options->detach,
                    "Print the name once the guest is up and leave it running");
  command->add_flag("--console", options->console,
                    "Serial console on stdin and stdout and no command (Ctrl-] ends the VM); with a command: "
                    "console output to stderr");
  command->add_option("--console-log", vm.console_log, "Keep the guest's console output in this file");
  command
      ->add_option("--start-timeout", options->start_timeout_s,
                   "Give up if the guest's agent is not up after so many seconds; 0: wait on")
      ->capture_default_str();
  add_network_options(cli, *command, vm.nat);
  command->footer(
      "Without a command: a shell. Stdin, terminal and signals go to the command; SIGUSR1 prints what the "
      "NAT has "
      "counted.\n"
      "Examples:\n"
      "  glassbox run --vcpus 2 -- nproc\n"
      "  glassbox run --add ./prog -- /prog --fast < input\n"
      "  glassbox run -d --name web; glassbox exec web -- ps; glassbox stop web\n"
      "Exit status: the command's own; 128+n for a signal; 120 guest panic, 121 guest powered off; 125 "
      "glassbox "
      "failed;\n126/127 the command cannot be run or found.");
  command->callback([&cli, options] {
    options->command = cli.command;
    cli.action = [&cli, options] { return run(*options, cli.argc, cli.argv); };
  });
}

}  // namespace glassbox::cli
