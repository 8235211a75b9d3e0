// glassbox logs NAME: prints the last part of a running guest's console.
#include <fcntl.h>
#include <unistd.h>

#include "vmm/base/io.h"
#include "vmm/base/printable.h"
#include "vmm/cli/command.h"
#include "vmm/cli/console_log.h"
#include "vmm/cli/remote.h"

namespace glassbox::cli {
namespace {

// The guest's own text, whose escape sequences must not reach the terminal: everything but lines and tabs is
// taken out.
std::string lines_of(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\r') continue;
    result += c == '\n' || c == '\t' ? std::string(1, c) : printable({&c, 1});
  }
  return result;
}

int logs(const std::string& name, int argc, char** argv) {
  const auto vm = find_vm_or_carry_on(name, argc, argv);
  if (!vm) return report(vm.error(), kExitFailure);
  const std::filesystem::path path = vm->dir / kConsoleLog;
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file)
    return report(Error{fmt::format("cannot read {}: {}", path.string(), std::strerror(errno)), errno},
                  kExitFailure);
  std::string text(ConsoleLog::kFileBytes, '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return print(lines_of(text));
}

}  // namespace

void add_logs(Cli& cli) {
  auto name = std::make_shared<std::string>();
  options::App* command = cli.app.add_subcommand("logs", "Print the last part of a running guest's console");
  command->add_option("name", *name, "Name of the VM; glassbox ls lists them")->required();
  command->footer(
      "At most the last MiB, without control characters; run --console-log FILE keeps all of it.\n"
      "Exit status: 0, or 1 if there is no such VM.");
  command->callback([&cli, name] { cli.action = [&cli, name] { return logs(*name, cli.argc, cli.argv); }; });
}

}  // namespace glassbox::cli
