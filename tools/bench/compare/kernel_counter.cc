#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <fstream>
#include <sstream>

#include "gb_kernel_counts.skel.h"
#include "tools/bench/compare/counts.h"
#include "tools/bench/net/syscall_count.h"

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

Result<std::unique_ptr<KernelCounter>> KernelCounter::start(const std::vector<pid_t>& pids) {
  libbpf_set_print(be_quiet);
  Skeleton skeleton(gb_kernel_counts__open());
  if (!skeleton) return fail_errno(errno, "the kernel's events cannot be counted");
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

}  // namespace glassbox::bench
