#include "tools/lab/io.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>

#include "tools/lab/wire.h"

namespace glassbox::lab {

Result<std::size_t> Outbox::flush(int fd, std::size_t limit) {
  std::size_t written = 0;
  while (!empty() && written < limit) {
    const std::size_t want = std::min(bytes_.size() - taken_, limit - written);
    const ssize_t n = ::write(fd, bytes_.data() + taken_, want);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (n < 0) return fail_errno(errno, "write");
    taken_ += static_cast<std::size_t>(n);
    written += static_cast<std::size_t>(n);
  }
  if (empty()) {
    clear();
  } else if (taken_ > kWindow) {
    bytes_.erase(0, taken_);
    taken_ = 0;
  }
  return written;
}

ReadState read_some(int fd, std::size_t limit, std::string& into) {
  std::array<char, kChunk> buffer{};
  while (true) {
    const ssize_t n = ::read(fd, buffer.data(), std::min(limit, buffer.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return ReadState::kNothing;
    if (n <= 0) return ReadState::kEnd;
    into.assign(buffer.data(), static_cast<std::size_t>(n));
    return ReadState::kBytes;
  }
}

Result<UniqueFd> signal_fd(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals)
    sigaddset(&set, signal);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno(errno, "sigprocmask");
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno(errno, "signalfd");
  return fd;
}

Result<std::string> read_token(const std::string& path) {
  std::ifstream file(path);
  std::string token{std::istreambuf_iterator<char>(file), {}};
  while (!token.empty() && token.back() == '\n')
    token.pop_back();
  if (token.size() < 16)
    return fail("{} has no token: is the lab running? (see 'tools/in-lab --status')", path);
  return token;
}

}  // namespace glassbox::lab
