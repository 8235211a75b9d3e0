#include <cstdio>

#include "vmm/base/say.h"
#include "vmm/cli/command.h"

namespace glassbox::cli {

int report(const Error& error, int status) {
  std::fprintf(stderr, "glassbox: %s\n", error.message.c_str());
  return status;
}

int print(std::string_view text) {
  if (say(stdout, text)) return 0;
  return report(Error{fmt::format("cannot write to stdout: {}", std::strerror(errno)), errno}, kExitFailure);
}

}  // namespace glassbox::cli
