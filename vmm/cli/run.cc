#include "vmm/cli/command.h"
namespace glassbox::cli {
void add_run(Cli&) {}
}  // namespace glassbox::cli
