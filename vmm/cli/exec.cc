// glassbox exec NAME -- CMD: runs a command in a VM of another glassbox process.
#include <unistd.h>

#include "guest/protocol.h"
#include "vmm/cli/command.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/remote.h"
#include "vmm/client/session.h"

namespace glassbox::cli {
namespace {

constexpr int kEndMs = 10'000;  // between the loss of the connection and the end of the monitor

struct ExecOptions {
  std::string name;
  bool terminal = false;
  std::vector<std::string> command;
};

int exec(const ExecOptions& options, int argc, char** argv) {
  const auto vm = find_vm_or_carry_on(options.name, argc, argv);
  if (!vm) return report(vm.error(), kExitOurFailure);
  const auto watch = VmWatch::open(*vm);
  if (!watch) return report(watch.error(), kExitOurFailure);
  auto connection = connect_vsock(vm->vsock_path(), protocol::kExecPort);
  if (!connection) return report(connection.error(), kExitOurFailure);

  client::CommandSpec spec{.argv = options.command, .env = client::terminal_env()};
  if (spec.argv.empty()) spec.argv = {"sh", "-l"};
  spec.tty = options.terminal || (::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1);
  const auto signals = client::SignalWatch::create();
  if (!signals) return report(signals.error(), kExitOurFailure);
  auto outcome = client::run_command(std::move(*connection), spec, {}, *signals);
  if (!outcome) return report(outcome.error(), kExitOurFailure);
  if (const auto status = exit_status(*outcome)) return *status;
  const auto end = watch->wait(kEndMs);
  if (!end) return report(Error{fmt::format("{}: {}", options.name, outcome->message), 0}, kExitOurFailure);
  // The VM was stopped while the command ran: the command did not end by itself.
  return report(Error{fmt::format("{}: {}", options.name, end->message), 0},
                end->status == 0 ? kExitOurFailure : end->status);
}

}  // namespace

void add_exec(Cli& cli) {
  auto options = std::make_shared<ExecOptions>();
  options::App* command =
      cli.app.add_subcommand("exec", "Run a command in a running VM (glassbox exec NAME -- CMD ARGS)");
  command->add_option("name", options->name, "Name of the VM; glassbox ls lists them")->required();
  command->add_flag("-t,--tty", options->terminal,
                    "Give the command a terminal even if stdin or stdout is none");
  command->footer(
      "Without a command: a shell. Stdin, terminal and signals go to the command.\n"
      "Example: glassbox exec web -- sh -c 'ip a; ps'\n"
      "Exit status: as of run.");
  command->callback([&cli, options] {
    options->command = cli.command;
    cli.action = [&cli, options] { return exec(*options, cli.argc, cli.argv); };
  });
}

}  // namespace glassbox::cli
