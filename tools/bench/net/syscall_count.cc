#include "tools/bench/net/syscall_count.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/syscall.h>

#include "gb_syscall_count.skel.h"

namespace glassbox::bench {
namespace {

constexpr std::uint32_t kNumbers = 512;

int be_quiet(libbpf_print_level /*level*/, const char* /*format*/, va_list /*arguments*/) {
  return 0;
}

struct Destroy {
  void operator()(gb_syscall_count* skeleton) const { gb_syscall_count__destroy(skeleton); }
};

class Counter final : public SyscallCount {
 public:
  explicit Counter(std::unique_ptr<gb_syscall_count, Destroy> skeleton) : skeleton_(std::move(skeleton)) {}
  std::map<std::uint32_t, std::uint64_t> counts() const override {
    std::map<std::uint32_t, std::uint64_t> found;
    const int fd = bpf_map__fd(skeleton_->maps.calls);
    for (std::uint32_t number = 0; number < kNumbers; ++number) {
      std::uint64_t count = 0;
      if (bpf_map_lookup_elem(fd, &number, &count) == 0 && count != 0) found[number] = count;
    }
    return found;
  }

 private:
  std::unique_ptr<gb_syscall_count, Destroy> skeleton_;
};

}  // namespace

Result<std::unique_ptr<SyscallCount>> SyscallCount::start(pid_t pid, pid_t tid) {
  libbpf_set_print(be_quiet);
  std::unique_ptr<gb_syscall_count, Destroy> skeleton(gb_syscall_count__open());
  if (!skeleton) return fail_errno(errno, "system calls cannot be counted");
  skeleton->rodata->counted_tgid = static_cast<std::uint32_t>(pid);
  skeleton->rodata->counted_tid = static_cast<std::uint32_t>(tid);
  if (gb_syscall_count__load(skeleton.get()) != 0 || gb_syscall_count__attach(skeleton.get()) != 0) {
    return fail_errno(errno, "system calls cannot be counted (needs root)");
  }
  return std::make_unique<Counter>(std::move(skeleton));
}

std::string syscall_name(std::uint32_t number) {
  static const std::map<std::uint32_t, const char*> names = {{SYS_read, "read"},
                                                             {SYS_write, "write"},
                                                             {SYS_close, "close"},
                                                             {SYS_readv, "readv"},
                                                             {SYS_writev, "writev"},
                                                             {SYS_socket, "socket"},
                                                             {SYS_connect, "connect"},
                                                             {SYS_sendto, "sendto"},
                                                             {SYS_sendmsg, "sendmsg"},
                                                             {SYS_sendmmsg, "sendmmsg"},
                                                             {SYS_recvfrom, "recvfrom"},
                                                             {SYS_recvmsg, "recvmsg"},
                                                             {SYS_recvmmsg, "recvmmsg"},
                                                             {SYS_shutdown, "shutdown"},
                                                             {SYS_bind, "bind"},
                                                             {SYS_setsockopt, "setsockopt"},
                                                             {SYS_getsockopt, "getsockopt"},
                                                             {SYS_getsockname, "getsockname"},
                                                             {SYS_epoll_wait, "epoll_wait"},
                                                             {SYS_epoll_pwait, "epoll_pwait"},
                                                             {SYS_epoll_pwait2, "epoll_pwait2"},
                                                             {SYS_epoll_ctl, "epoll_ctl"},
                                                             {SYS_poll, "poll"},
                                                             {SYS_ppoll, "ppoll"},
                                                             {SYS_fcntl, "fcntl"},
                                                             {SYS_ioctl, "ioctl"},
                                                             {SYS_sched_yield, "sched_yield"},
                                                             {SYS_splice, "splice"},
                                                             {SYS_timerfd_settime, "timerfd_settime"},
                                                             {SYS_clock_gettime, "clock_gettime"},
                                                             {SYS_pipe2, "pipe2"},
                                                             {SYS_select, "select"},
                                                             {SYS_accept4, "accept4"}};
  const auto found = names.find(number);
  return found == names.end() ? fmt::format("syscall {}", number) : found->second;
}

}  // namespace glassbox::bench
