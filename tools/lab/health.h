// Whether the whole lab machine works, and not only the CPU and the memory that one process uses. An emulated
// machine with nested guests can lose one CPU, or the host can stop answering its file system. A daemon that
// waits for its socket notices neither: it would answer pings while the command stands still.
#pragma once

#include <string>
#include <vector>

namespace glassbox::lab {

// Moves the calling thread to each CPU that this process may use, then allows all of them again. Returns the
// CPUs that it ran on. Blocks while one of them runs nothing.
std::vector<int> visit_every_cpu();

// Asks the host for `file`, past every cache. Any answer will do, also that the file does not exist. Blocks
// until one comes.
void ask_the_host(const std::string& file);

}  // namespace glassbox::lab
