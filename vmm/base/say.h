// Text for people, to a stream that may be full, closed or a pipe without a reader.
#pragma once

#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <string_view>

namespace glassbox {

// Writes and flushes the text; false, with errno set, if it could not be written. Neither an exception
// (fmt::print() throws) nor SIGPIPE comes of it: a process that serves others must not end because nothing
// reads what it says.
//
// Any thread. A SIGPIPE that this write causes goes to the calling thread, where it is taken back.
inline bool say(std::FILE* to, std::string_view text) {
  sigset_t pipe_signal, mask_before, pending;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  ::sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &mask_before);
  const bool whole = std::fwrite(text.data(), 1, text.size(), to) == text.size();
  const bool written = std::fflush(to) == 0 && whole;
  const int error = errno;
  if (!written && !was_pending) {
    constexpr timespec kAtOnce{};
    ::sigtimedwait(&pipe_signal, nullptr, &kAtOnce);
  }
  ::pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
  errno = error;
  return written;
}

}  // namespace glassbox
