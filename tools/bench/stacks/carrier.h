// The process that carries a stack's packets, as the kernel knows it.
//
// /proc/PID/fdinfo names the tun or tap interface of a descriptor ("iff: NAME"). The process that holds one
// moves the packets. The process that holds a stack's device must be the program that the row of the table
// names; otherwise the stack has no row.
#pragma once

#include <sys/types.h>

#include <string>

#include "vmm/base/result.h"

namespace glassbox::bench {

struct Carrier {
  pid_t pid = -1;
  std::string program;  // path of the executable
};

// The process among `root` and its descendants that holds the tap or tun device `interface`, if its program's
// file name starts with `expected` (pasta may run as pasta.avx2); otherwise an error that says who it is.
[[nodiscard]] Result<Carrier> find_carrier(pid_t root, const std::string& interface,
                                           const std::string& expected);

}  // namespace glassbox::bench
