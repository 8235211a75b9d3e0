// Descriptors 0 to 2, where whoever started us left them out.
#pragma once

#include <fcntl.h>
#include <unistd.h>

namespace glassbox {

// Before anything else is opened: a file, pipe or socket of ours that got such a number would be written to
// by whatever is said, and what a child is given there would not be. Standard output is then not for writing,
// so that a report that has nowhere to go is an error still.
inline void hold_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0) (void)!::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
}

}  // namespace glassbox
