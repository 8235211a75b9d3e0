// The event loop where a seccomp profile or an old kernel refuses the calls that wait for events. Each case
// runs in a child process, because a filter stays for good.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <vector>

#include "net/loop/event_loop.h"
#include "vmm/base/clock.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {
namespace {

// From now on these system calls of this process fail with `error`.
bool refuse_calls(const std::vector<unsigned>& numbers, unsigned error) {
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const unsigned number : numbers) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

class CountingHandler final : public FdHandler {
 public:
  explicit CountingHandler(EventLoop& loop) : loop_(loop) {}
  void on_fd_ready(std::uint32_t /*events*/) override {
    ++calls;
    loop_.stop();
  }
  int calls = 0;

 private:
  EventLoop& loop_;
};

// A loop with a deadline that is some milliseconds away and sets off an event. 0: both came, without a spin.
int wait_for_deadline_and_event() {
  auto loop = EventLoop::create(ProbeMode::kNone, {.mode = PollConfig::Mode::kOff});
  const UniqueFd event(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  CountingHandler handler(**loop);
  if (!(*loop)->add(event.get(), 1 /* EPOLLIN */, &handler)) return 2;
  int deadlines = 0;
  int turns = 0;
  (*loop)->on_deadline([&] {
    ++deadlines;
    const std::uint64_t one = 1;
    (void)!::write(event.get(), &one, sizeof(one));
  });
  (*loop)->at_turn_end([&] {
    if (++turns == 100) (*loop)->stop();
  });
  const std::uint64_t due_ns = monotonic_ns() + 3 * kNsPerMs + 1;
  (*loop)->set_deadline(due_ns);
  (*loop)->run();
  if ((*loop)->error() != 0) return 3;
  if (monotonic_ns() < due_ns) return 4;
  return deadlines == 1 && handler.calls == 1 && turns <= 4 ? 0 : 5;
}

// No wait works: the loop ends and says so. 0: it did.
int end_with_an_error() {
  const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  ::dup2(null.get(), STDERR_FILENO);
  auto loop = EventLoop::create(ProbeMode::kNone, {.mode = PollConfig::Mode::kOff});
  int turns = 0;
  (*loop)->at_turn_end([&] {
    if (++turns == 100) (*loop)->stop();
  });
  (*loop)->run();
  return (*loop)->error() != 0 && turns == 1 ? 0 : 6;
}

// The exit status of a child that runs `body` while `numbers` are refused.
int status_of(const std::vector<unsigned>& numbers, unsigned error, int (*body)()) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(refuse_calls(numbers, error) ? body() : 77);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(EpollWaiter, WaitsByAnotherCallIfOneIsRefused) {
  for (const unsigned error : {ENOSYS, EPERM, EACCES}) {
    for (const auto& refused :
         {std::vector<unsigned>{}, {SYS_epoll_pwait2}, {SYS_epoll_pwait2, SYS_epoll_pwait}}) {
      const int status = status_of(refused, error, wait_for_deadline_and_event);
      if (status == 77) GTEST_SKIP() << "this machine allows no seccomp filter";
      EXPECT_EQ(status, 0) << refused.size() << " calls refused with errno " << error;
    }
  }
}

TEST(EpollWaiter, TheLoopEndsIfNoCallIsAllowed) {
  const std::vector<unsigned> all = {SYS_epoll_pwait2, SYS_epoll_pwait, SYS_epoll_wait};
  const int refused = status_of(all, EPERM, end_with_an_error);
  if (refused == 77) GTEST_SKIP() << "this machine allows no seccomp filter";
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(status_of(all, EBADF, end_with_an_error), 0) << "an error that is no refusal";
}

}  // namespace
}  // namespace glassbox::net
