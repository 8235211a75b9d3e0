// glassbox: parses the command line and hands over to the subcommand (vmm/cli/).
#include <algorithm>
#include <string_view>

#include "vmm/base/log.h"
#include "vmm/base/standard_descriptors.h"
#include "vmm/base/usage.h"
#include "vmm/cli/command.h"

namespace {

// Who runs programs through us keeps 1 and 2 for those programs: our own mistakes are 125 there.
bool runs_programs(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  return command == "run" || command == "exec" || command == "netns";
}

}  // namespace

int main(int argc, char** argv) {
  glassbox::hold_standard_descriptors();
  glassbox::log_init("glassbox", false);
  CLI::App app("glassbox: a KVM virtual machine monitor that you can see through", "glassbox");
  app.set_version_flag("--version", "glassbox " GLASSBOX_VERSION);
  app.require_subcommand(1);
  glassbox::cli::Cli cli{app, argc, argv, {}, {}};
  glassbox::cli::add_run(cli);
  glassbox::cli::add_exec(cli);
  glassbox::cli::add_ls(cli);
  glassbox::cli::add_stop(cli);
  glassbox::cli::add_kvm_check(cli);
  glassbox::cli::add_netns(cli);
  // What follows "--" is the user's command, whatever it looks like: the parser does not get to see it.
  const bool takes_command = runs_programs(argc, argv);
  char** const dashes = takes_command ? std::find(argv, argv + argc, std::string_view("--")) : argv + argc;
  if (dashes != argv + argc) cli.command.assign(dashes + 1, argv + argc);
  try {
    app.parse(static_cast<int>(dashes - argv), argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::string message = glassbox::usage_error(cli.app, error);
    const bool extra = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
    if (takes_command && extra) message += " (a command to run goes behind --)";
    return glassbox::cli::report(glassbox::Error{message, 0},
                                 takes_command ? glassbox::cli::kExitOurFailure : glassbox::cli::kExitUsage);
  }
  return cli.action();
}
