// Whether the whole lab machine works, and not just the CPU and the memory that one process happens to use.
// An emulated machine with nested guests can lose one CPU, or the host can stop answering its file system,
// and a daemon that waits for its socket notices neither: the command stands still and the pings are
// answered.
#pragma once

#include <string>
#include <vector>

namespace glassbox::lab {

// Runs on each CPU that this process may use, and goes back to all of them. Returns the CPUs it was on; does
// not return while one of them runs nothing.
std::vector<int> visit_every_cpu();

// Asks the host for `file`, past every cache. Whether the file is there is no matter: the answer is. Does not
// return where none comes.
void ask_the_host(const std::string& file);

}  // namespace glassbox::lab
