// The lab daemon: PID 1 of the lab machine.
#pragma once

#include <cstdint>
#include <string>

#include "vmm/base/result.h"

namespace glassbox::lab {

struct ServeOptions {
  std::uint16_t port = 0;  // 0: any free one; the "lab: ready" line names it
  std::string token_file;
  int idle_s = 0;  // power off after this time without a process of the user; 0: never
};

// Returns on failure or, if it is not PID 1, on SIGTERM. As PID 1 it powers the machine off instead.
[[nodiscard]] Status serve(const ServeOptions& options);

}  // namespace glassbox::lab
