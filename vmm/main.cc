// glassbox: parses the command line and hands over to the subcommand (vmm/cli/).
#include <string_view>

#include "vmm/base/log.h"
#include "vmm/cli/command.h"

namespace {

// Who runs programs through us keeps 1 and 2 for those programs: our own mistakes are 125 there.
int usage_status(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  const bool runs_programs = command == "run" || command == "exec" || command == "netns";
  return runs_programs ? glassbox::cli::kExitOurFailure : glassbox::cli::kExitUsage;
}

}  // namespace

int main(int argc, char** argv) {
  glassbox::log_init("glassbox", false);
  CLI::App app("glassbox: a KVM virtual machine monitor that you can see through", "glassbox");
  app.set_version_flag("--version", "glassbox " GLASSBOX_VERSION);
  app.require_subcommand(1);
  glassbox::cli::Cli cli{app, argc, argv, {}};
  glassbox::cli::add_run(cli);
  glassbox::cli::add_kvm_check(cli);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : usage_status(argc, argv);
  }
  return cli.action();
}
