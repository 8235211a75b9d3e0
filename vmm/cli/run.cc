// glassbox run: boots a kernel and an initrd with the serial console on stdin and stdout.
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "vmm/base/lab.h"
#include "vmm/base/runtime_dir.h"
#include "vmm/cli/command.h"
#include "vmm/cli/stop_signals.h"
#include "vmm/kvm/usability.h"
#include "vmm/machine/machine.h"
#include "vmm/virtio/device_set.h"

namespace glassbox::cli {
namespace {

struct RunOptions {
  std::string kernel;
  std::string initrd;
  std::string append;
  unsigned vcpus = 1;
  std::uint64_t memory_mib = 512;
  bool allow_host_loopback = false;
};

// Gives up on a reader that takes nothing for a second, so that the end of the machine never waits for it.
void write_console(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    pollfd ready = {STDOUT_FILENO, POLLOUT, 0};
    if (::poll(&ready, 1, 1000) <= 0) return;
    const ssize_t done = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (done < 0 && errno != EINTR && errno != EAGAIN) return;
    if (done > 0) bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
}

MachineConfig config_from(const RunOptions& options) {
  MachineConfig config;
  config.kernel = options.kernel;
  if (!options.initrd.empty()) config.initrd = options.initrd;
  config.command_line = default_command_line();
  if (!options.append.empty()) config.command_line += " " + options.append;
  config.vcpus = options.vcpus;
  config.memory_mib = options.memory_mib;
  config.console_output = write_console;
  config.console_input_fd = STDIN_FILENO;
  return config;
}

int status_of(const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::kStopped:
      return 0;
    case Outcome::Kind::kPanic:
      return kExitGuestPanic;
    case Outcome::Kind::kPoweredOff:
    case Outcome::Kind::kReset:
      return kExitGuestPoweredOff;
    case Outcome::Kind::kError:
      break;
  }
  return kExitOurFailure;
}

int run(const RunOptions& options, int argc, char** argv) {
  const kvm::Usability usability = kvm::check_kvm();
  if (!usability.usable) return report(carry_on_in_lab(argc, argv, usability.reason), kExitOurFailure);

  StopSignals signals;  // before any thread starts
  auto machine = Machine::create(config_from(options));
  if (!machine) return report(machine.error(), kExitOurFailure);
  auto directory = RuntimeDir::claim("");
  if (!directory) return report(directory.error(), kExitOurFailure);
  auto devices = virtio::Devices::create((*machine)->services(),
                                         {.vsock_path = directory->path() / "vsock.sock",
                                          .nat = {.allow_host_loopback = options.allow_host_loopback}});
  if (!devices) return report(devices.error(), kExitOurFailure);
  if (const Status started = (*machine)->start(); !started) return report(started.error(), kExitOurFailure);
  signals.on_signal([&] { (*machine)->stop(); });
  const Outcome outcome = (*machine)->wait();
  signals.finish();
  std::fprintf(stderr, "glassbox: %s\n", outcome.message.c_str());
  if (const int number = signals.caught(); number != 0) return 128 + number;
  return status_of(outcome);
}

}  // namespace

void add_run(Cli& cli) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = cli.app.add_subcommand("run", "Boot a guest");
  command->add_option("--kernel", options->kernel, "Kernel: bzImage or ELF")->required();
  command->add_option("--initrd", options->initrd, "Initial RAM file system");
  command->add_option("--append", options->append, "Kernel arguments, after glassbox's own");
  command->add_option("--vcpus", options->vcpus, "Virtual processors")->capture_default_str();
  command->add_option("--memory", options->memory_mib, "Guest memory in MiB")->capture_default_str();
  command->add_flag("--allow-host-loopback", options->allow_host_loopback,
                    "Let the guest reach the host's 127.0.0.1 at 10.0.2.2");
  command->footer(
      "Examples:\n"
      "  glassbox run --kernel vmlinuz --initrd initrd.img --vcpus 2\n"
      "  glassbox run --kernel vmlinux --initrd initrd.img --append 'loglevel=7' --memory 1024\n"
      "Exit status: 120 the guest panicked, 121 it powered off, 125 glassbox failed, 128+n ended by signal "
      "n.");
  command->callback(
      [&cli, options] { cli.action = [&cli, options] { return run(*options, cli.argc, cli.argv); }; });
}

}  // namespace glassbox::cli
