#include "tools/bench/measure/kernel_counter.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/syscall.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "gb_kernel_counts.skel.h"

namespace glassbox::bench {
namespace {

constexpr const char* kFormat = "/sys/kernel/tracing/events/kvm/kvm_exit/format";
constexpr std::uint32_t kNumbers = 512;

int be_quiet(libbpf_print_level /*level*/, const char* /*format*/, va_list /*arguments*/) {
  return 0;
}

std::string read_text(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// "field:unsigned int exit_reason;	offset:8;"
std::optional<std::uint32_t> field_offset(const std::string& format, const std::string& field) {
  constexpr std::string_view kOffset = "offset:";
  const std::size_t at = format.find(" " + field + ";");
  const std::size_t offset = at == std::string::npos ? at : format.find(kOffset, at);
  if (offset == std::string::npos) return std::nullopt;
  return static_cast<std::uint32_t>(std::strtoul(format.c_str() + offset + kOffset.size(), nullptr, 10));
}

void subtract(std::map<std::string, double>& from, const std::map<std::string, double>& what) {
  for (const auto& [name, value] : what)
    from[name] -= value;
}

// "recvmsg", or "syscall 47" where there is no name for it here.
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

struct Destroy {
  void operator()(gb_kernel_counts* skeleton) const { gb_kernel_counts__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<gb_kernel_counts, Destroy>;

class Counter final : public KernelCounter {
 public:
  Counter(Skeleton skeleton, std::string format)
      : skeleton_(std::move(skeleton)), format_(std::move(format)) {}

  [[nodiscard]] KernelCounts read() const override {
    KernelCounts counts;
    counts.wakeups = static_cast<double>(skeleton_->bss->wakeups);
    const int calls = bpf_map__fd(skeleton_->maps.calls);
    for (std::uint32_t number = 0; number < kNumbers; ++number) {
      std::uint64_t count = 0;
      if (bpf_map_lookup_elem(calls, &number, &count) != 0 || count == 0) continue;
      counts.calls += static_cast<double>(count);
      counts.by_call[syscall_name(number)] += static_cast<double>(count);
    }
    const int exits = bpf_map__fd(skeleton_->maps.exits);
    std::uint64_t key = 0;
    for (void* from = nullptr; bpf_map_get_next_key(exits, from, &key) == 0; from = &key) {
      std::uint64_t count = 0;
      if (bpf_map_lookup_elem(exits, &key, &count) != 0) continue;
      counts.exits += static_cast<double>(count);
      counts.by_reason[reason_name(key)] += static_cast<double>(count);
    }
    return counts;
  }

 private:
  [[nodiscard]] std::string reason_name(std::uint64_t key) const {
    const auto isa = static_cast<std::uint32_t>(key >> 32);
    const auto reason = static_cast<std::uint32_t>(key);
    const auto names = exit_reasons(format_, isa);
    const auto found = names.find(reason);
    return found == names.end() ? fmt::format("reason {:#x}", reason) : found->second;
  }

  Skeleton skeleton_;
  std::string format_;
};

}  // namespace

Result<std::unique_ptr<KernelCounter>> KernelCounter::start(const std::vector<pid_t>& pids, pid_t thread) {
  libbpf_set_print(be_quiet);
  Skeleton skeleton(gb_kernel_counts__open());
  if (!skeleton) return fail_errno(errno, "the kernel's events cannot be counted");
  skeleton->rodata->counted_thread = static_cast<std::uint32_t>(thread);
  const std::string format = read_text(kFormat);
  const auto reason = field_offset(format, "exit_reason");
  const auto isa = field_offset(format, "isa");
  if (reason && isa) {
    skeleton->rodata->reason_offset = *reason;
    skeleton->rodata->isa_offset = *isa;
  } else {
    bpf_program__set_autoload(skeleton->progs.count_exit, false);  // no KVM, or none with this tracepoint
  }
  if (gb_kernel_counts__load(skeleton.get()) != 0) {
    return fail_errno(errno, "the kernel's events cannot be counted (needs root)");
  }
  for (const pid_t pid : pids) {
    const auto key = static_cast<std::uint32_t>(pid);
    const std::uint8_t one = 1;
    if (bpf_map__update_elem(skeleton->maps.processes, &key, sizeof(key), &one, sizeof(one), BPF_ANY) != 0) {
      return fail_errno(errno, "the kernel's events cannot be counted");
    }
  }
  if (gb_kernel_counts__attach(skeleton.get()) != 0) {
    return fail_errno(errno, "the kernel's events cannot be counted (needs root)");
  }
  return std::make_unique<Counter>(std::move(skeleton), format);
}

KernelCounts operator-(KernelCounts later, const KernelCounts& earlier) {
  later.calls -= earlier.calls;
  later.wakeups -= earlier.wakeups;
  later.exits -= earlier.exits;
  subtract(later.by_call, earlier.by_call);
  subtract(later.by_reason, earlier.by_reason);
  return later;
}

KernelCounts& operator+=(KernelCounts& to, const KernelCounts& more) {
  to.calls += more.calls;
  to.wakeups += more.wakeups;
  to.exits += more.exits;
  for (const auto& [name, value] : more.by_call)
    to.by_call[name] += value;
  for (const auto& [name, value] : more.by_reason)
    to.by_reason[name] += value;
  return to;
}

KernelCounts& operator/=(KernelCounts& counts, double by) {
  counts.calls /= by;
  counts.wakeups /= by;
  counts.exits /= by;
  for (auto& [name, value] : counts.by_call)
    value /= by;
  for (auto& [name, value] : counts.by_reason)
    value /= by;
  return counts;
}

std::map<std::uint32_t, std::string> exit_reasons(const std::string& format, std::uint32_t isa) {
  constexpr std::string_view kList = "__print_symbolic(";
  std::size_t at = format.find(kList);
  if (at != std::string::npos && isa != 1) at = format.find(kList, at + 1);
  std::map<std::uint32_t, std::string> names;
  if (at == std::string::npos) return names;
  const std::size_t end = std::min(format.find("})", at), format.size());
  // { 0x040 + 1, "DB excp" }, ...
  for (at = format.find('{', at); at < end; at = format.find('{', at + 1)) {
    const std::size_t quote = format.find('"', at);
    const std::size_t close = format.find('"', quote + 1);
    if (close == std::string::npos) break;
    std::uint32_t value = 0;
    std::string term;
    for (const char c : format.substr(at + 1, quote - at - 1) + "+") {
      if (c != '+' && c != ',') {
        term += c;
        continue;
      }
      if (term.find_first_of("0123456789") != std::string::npos) {
        value += static_cast<std::uint32_t>(std::strtol(term.c_str(), nullptr, 0));
      }
      term.clear();
    }
    names.emplace(value, format.substr(quote + 1, close - quote - 1));
  }
  return names;
}

}  // namespace glassbox::bench
