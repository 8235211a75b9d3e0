#include "tests/delays/crr/forked_cycle.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "vmm/base/clock.h"

namespace glassbox::delays::crr {

namespace {

// In the large parent: runs a cycle for each byte on the socket, until the other end is closed.
[[noreturn]] void serve_cycles(int socket, std::size_t bytes, char** argv) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) ::_exit(1);
  ::madvise(data, bytes, MADV_NOHUGEPAGE);  // small pages: a huge page would be a single entry to copy
  std::memset(data, 1, bytes);
  char byte = 0;
  while (::write(socket, "r", 1) == 1 && ::read(socket, &byte, 1) == 1) {
    Cycle cycle;
    if (run_forked_cycle(argv, cycle) != nullptr) cycle = {};
    if (::write(socket, &cycle, sizeof(cycle)) != sizeof(cycle)) break;
  }
  ::_exit(0);
}

bool wait_until_ready(int socket) {
  char byte = 0;
  return ::read(socket, &byte, 1) == 1;
}

}  // namespace

const char* run_forked_cycle(char** argv, Cycle& cycle) {
  cycle = {};
  int fds[2] = {};
  if (::pipe2(fds, O_CLOEXEC) < 0) return "pipe";
  const std::string fd = std::to_string(fds[1]);
  cycle.start_ns = monotonic_ns();
  const std::string start = std::to_string(cycle.start_ns);
  const char* child_argv[] = {argv[0],       argv[1],    argv[2],       "--cycles",    "1",
                              "--report-fd", fd.c_str(), "--forked-at", start.c_str(), nullptr};
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::fcntl(fds[1], F_SETFD, 0);
    ::execv("/proc/self/exe", const_cast<char* const*>(child_argv));
    ::_exit(127);
  }
  const int errnum = errno;
  ::close(fds[1]);
  int status = -1;
  if (pid > 0) {
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
  }
  cycle.duration_ns = monotonic_ns() - cycle.start_ns;
  const bool told = ::read(fds[0], &cycle.delay_ns, sizeof(cycle.delay_ns)) == sizeof(cycle.delay_ns);
  ::close(fds[0]);
  errno = errnum;
  if (pid < 0) return "fork";
  errno = ECHILD;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 && told ? nullptr : "the forked cycle";
}

LargeParent::LargeParent(std::size_t bytes, char** argv) {
  int fds[2] = {};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) return;
  pid_ = ::fork();
  if (pid_ == 0) {
    ::close(fds[0]);
    serve_cycles(fds[1], bytes, argv);
  }
  ::close(fds[1]);
  socket_ = fds[0];
}

LargeParent::~LargeParent() {
  if (socket_ >= 0) ::close(socket_);
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
}

const char* LargeParent::run_forked_cycle(Cycle& cycle) const {
  cycle = {};
  errno = ENOMEM;
  if (socket_ < 0 || !wait_until_ready(socket_)) return "the large parent";
  if (::write(socket_, "c", 1) != 1) return "the large parent";
  if (::read(socket_, &cycle, sizeof(cycle)) != sizeof(cycle) || cycle.delay_ns == 0)
    return "the forked cycle";
  return nullptr;
}

void report_start(const Options& options, std::uint64_t main_ns) {
  const std::uint64_t took_ns = main_ns - static_cast<std::uint64_t>(options.forked_at_ns);
  (void)!::write(options.report_fd, &took_ns, sizeof(took_ns));
  ::close(options.report_fd);
}

}  // namespace glassbox::delays::crr
