#include <cstdio>

#include "vmm/cli/command.h"

namespace glassbox::cli {

int report(const Error& error, int status) {
  std::fprintf(stderr, "glassbox: %s\n", error.message.c_str());
  return status;
}

}  // namespace glassbox::cli
