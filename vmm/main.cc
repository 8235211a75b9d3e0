// glassbox: parses the command line and calls the subcommand (vmm/cli/).
#include <algorithm>
#include <exception>
#include <string_view>

#include "vmm/base/log.h"
#include "vmm/base/standard_descriptors.h"
#include "vmm/cli/command.h"

namespace {

// These run another program, whose exit status may be 1 or 2: a failure of glassbox itself is 125 there.
bool runs_programs(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  return command == "run" || command == "exec" || command == "netns";
}

}  // namespace

int main(int argc, char** argv) {
  glassbox::hold_standard_descriptors();
  glassbox::log_init("glassbox", false);
  glassbox::options::App app("glassbox: a KVM virtual machine monitor that you can see through", "glassbox");
  app.set_version_flag("--version", "glassbox " GLASSBOX_VERSION);
  app.require_subcommand(1);
  glassbox::cli::Cli cli{app, argc, argv, {}, {}};
  glassbox::cli::add_run(cli);
  glassbox::cli::add_exec(cli);
  glassbox::cli::add_ls(cli);
  glassbox::cli::add_logs(cli);
  glassbox::cli::add_stats(cli);
  glassbox::cli::add_stop(cli);
  glassbox::cli::add_kvm_check(cli);
  glassbox::cli::add_netns(cli);
  // The words after "--" are the user's command: the parser must not see them.
  const bool takes_command = runs_programs(argc, argv);
  char** const dashes = takes_command ? std::find(argv, argv + argc, std::string_view("--")) : argv + argc;
  if (dashes != argv + argc) cli.command.assign(dashes + 1, argv + argc);
  if (auto parsed = app.parse(static_cast<int>(dashes - argv), argv); !parsed.proceed) {
    if (takes_command && parsed.is_extra_word) parsed.text += " (put the command to run after --)";
    if (!parsed.is_error) return glassbox::options::finish(parsed, "glassbox");
    return glassbox::cli::report(glassbox::Error{parsed.text, 0},
                                 takes_command ? glassbox::cli::kExitOurFailure : glassbox::cli::kExitUsage);
  }
  // The library throws where memory ends: one line, and what the command made is removed on the way.
  try {
    return cli.action();
  } catch (const std::exception& error) {
    return glassbox::cli::report(glassbox::Error{error.what(), 0}, takes_command
                                                                       ? glassbox::cli::kExitOurFailure
                                                                       : glassbox::cli::kExitFailure);
  }
}
