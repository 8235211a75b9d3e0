// Descriptors 0 to 2, if the parent process has left one of them closed.
#pragma once

#include <fcntl.h>
#include <unistd.h>

namespace glassbox {

// Opens /dev/null for each that is closed. Call it before anything else is opened: otherwise a file, pipe or
// socket would get such a number, and messages would be written into it. Standard output is then opened for
// reading only, so that writing a report to it still fails.
inline void hold_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0) (void)!::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
}

}  // namespace glassbox
