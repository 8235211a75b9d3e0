// glassbox kvm-check: says whether this machine's KVM is fit for a Linux guest. Scripts ask it.
#include "vmm/cli/command.h"
#include "vmm/kvm/usability.h"

namespace glassbox::cli {
namespace {

int kvm_check() {
  const kvm::Usability usability = kvm::check_kvm();
  const int printed =
      print(fmt::format("{}: {}\n", usability.usable ? "usable" : "not usable", usability.reason));
  return usability.usable ? printed : kExitFailure;
}

}  // namespace

void add_kvm_check(Cli& cli) {
  options::App* command = cli.app.add_subcommand("kvm-check", "Say whether KVM here is fit to run a guest");
  command->footer("Exit status: 0 if it is, 1 if not. Takes about a tenth of a second.");
  command->callback([&cli] { cli.action = kvm_check; });
}

}  // namespace glassbox::cli
