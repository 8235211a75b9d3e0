#include "bpf/host_tracer.h"

#include <bpf/libbpf.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>

#include "bpf/event_ring.h"
#include "bpf/libbpf_log.h"
#include "bpf/links.h"
#include "bpf/recursion.h"
#include "bpf/sdt_notes.h"
#include "bpf/target.h"
#include "gb_host.skel.h"

namespace glassbox::bpf {
namespace {

constexpr std::string_view kUsdtPrefix = "usdt_";
constexpr std::string_view kProvider = "glassbox";
constexpr int kCapSysAdmin = 21;  // linux/capability.h

bool has_effective_capability(int capability) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("CapEff:")) {
      return (std::stoull(line.substr(7), nullptr, 16) >> capability & 1) != 0;
    }
  }
  return false;
}

bool in_initial_user_namespace() {
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t inside = 1;
  std::uint64_t outside = 1;
  std::uint64_t count = 0;
  map >> inside >> outside >> count;
  return inside == 0 && outside == 0 && count == 0xffffffff;
}

// Outside it, the kernel's number of a process is not known here (bpf/host.bpf.c, target_tgid).
bool in_initial_pid_namespace() {
  constexpr ino_t kInitialPidNamespace = 0xEFFFFFFC;  // PROC_PID_INIT_INO of include/linux/proc_ns.h
  struct stat info {};
  return ::stat("/proc/self/ns/pid", &info) == 0 && info.st_ino == kInitialPidNamespace;
}

Status check_rights(pid_t pid) {
  if (!has_effective_capability(kCapSysAdmin)) {
    return fail("tracing process {} needs CAP_SYS_ADMIN (for USDT probes): run it as root", pid);
  }
  if (!in_initial_user_namespace()) {
    return fail("tracing process {} does not work from inside a user namespace: run it outside", pid);
  }
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
    return fail("this kernel has no BTF (/sys/kernel/btf/vmlinux): tracing needs CONFIG_DEBUG_INFO_BTF");
  }
  return {};
}

// The number of sites of each glassbox probe in the program, by name.
Result<std::map<std::string, std::size_t>> probe_sites(const std::string& exe, pid_t pid) {
  auto notes = read_sdt_notes(exe);
  if (!notes) return fail("cannot trace process {}: {}", pid, notes.error().message);
  std::map<std::string, std::size_t> sites;
  for (const SdtNote& note : *notes) {
    if (note.provider == kProvider) ++sites[note.name];
  }
  if (sites.empty()) {
    return fail(
        "process {} is not a glassbox monitor, its program has no glassbox probes: give the pid of `glassbox "
        "run` or `glassbox netns`",
        pid);
  }
  return sites;
}

// The programs for vCPU exits are for a process with a VM only.
bool is_wanted(const bpf_program* program, bool kernel_events, bool has_vm) {
  switch (bpf_program__type(program)) {
    case BPF_PROG_TYPE_TRACING:
      return kernel_events;
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
      return kernel_events && has_vm;
    default:
      return true;
  }
}

}  // namespace

struct HostTracer::Impl {
  ~Impl() {
    links.clear();
    ring.close();
    if (skeleton != nullptr) gb_host__destroy(skeleton);
  }

  gb_host* skeleton = nullptr;
  std::vector<LinkPtr> links;
  EventRing ring;
  std::vector<Hook> hooks;

  void attach_usdt(bpf_program* program, const std::string& name, pid_t pid, const std::string& exe,
                   const std::map<std::string, std::size_t>& sites) {
    const auto site = sites.find(name);
    if (site == sites.end()) {
      hooks.push_back({name, "", "the program has no such probe: it is of another version", false});
      return;
    }
    LinkPtr link(
        bpf_program__attach_usdt(program, pid, exe.c_str(), kProvider.data(), name.c_str(), nullptr));
    if (!link) {
      hooks.push_back({name, "", take_libbpf_error(errno), false});
      return;
    }
    links.push_back(std::move(link));
    hooks.push_back({name, "usdt", site->second == 1 ? "" : fmt::format("{} sites", site->second)});
  }

  void attach_kernel(bpf_program* program) {
    const std::string_view section = bpf_program__section_name(program);
    const std::string how(section.substr(0, section.find('/')));
    const std::string name(section.substr(section.find('/') + 1));
    LinkPtr link(bpf_program__attach(program));
    if (!link) {
      hooks.push_back({name, "", take_libbpf_error(errno), false});
      return;
    }
    links.push_back(std::move(link));
    hooks.push_back({name, how, ""});
  }
};

bool runs_a_vm(pid_t pid) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid), error))
    if (std::filesystem::read_symlink(entry.path(), error).string().find("kvm-vm") != std::string::npos)
      return true;
  return false;
}

HostTracer::HostTracer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HostTracer::~HostTracer() = default;

Result<std::unique_ptr<HostTracer>> HostTracer::open(pid_t pid, const Options& options) {
  if (pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH)) return fail("there is no process {}", pid);
  GB_TRY(check_rights(pid));
  const std::string exe = fmt::format("/proc/{}/exe", pid);
  GB_ASSIGN(const auto sites, probe_sites(exe, pid));

  const bool has_vm = runs_a_vm(pid);
  capture_libbpf_log();
  auto impl = std::make_unique<Impl>();
  impl->skeleton = gb_host__open();
  if (impl->skeleton == nullptr)
    return fail("cannot open the host's BPF programs: {}", take_libbpf_error(errno));
  impl->skeleton->bss->target_tgid = in_initial_pid_namespace() ? static_cast<__u32>(pid) : GB_UNKNOWN_TGID;
  bpf_map__set_max_entries(impl->skeleton->maps.events, static_cast<__u32>(options.ring_bytes));

  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, impl->skeleton->obj) {
    bpf_program__set_autoload(program, is_wanted(program, options.kernel_events, has_vm));
  }
  if (gb_host__load(impl->skeleton) != 0) {
    return fail("the kernel refuses the host's BPF programs: {}", take_libbpf_error(errno));
  }
  GB_TRY(impl->ring.open(bpf_map__fd(impl->skeleton->maps.events), options.ring_bytes));

  bpf_object__for_each_program(program, impl->skeleton->obj) {
    const std::string_view name = bpf_program__name(program);
    if (name.starts_with(kUsdtPrefix)) {
      impl->attach_usdt(program, std::string(name.substr(kUsdtPrefix.size())), pid, exe, sites);
    } else if (bpf_program__autoload(program)) {
      impl->attach_kernel(program);
    }
  }
  bool any_probe = false;
  for (const Hook& hook : impl->hooks)
    any_probe |= hook.how == "usdt";
  if (!any_probe) {
    return fail("no probe of process {} could be attached: {}", pid, impl->hooks.front().remark);
  }
  return std::unique_ptr<HostTracer>(new HostTracer(std::move(impl)));
}

const std::vector<Hook>& HostTracer::attached() const {
  return impl_->hooks;
}

Result<std::size_t> HostTracer::poll(const Consumer& consumer) {
  return impl_->ring.consume(consumer);
}

HostDrops HostTracer::drops() const {
  HostDrops drops;
  const auto* bss = impl_->skeleton->bss;
  for (std::size_t kind = 0; kind < drops.ring_full_by_kind.size(); ++kind) {
    drops.ring_full_by_kind[kind] = bss->dropped[kind];
    drops.ring_full += bss->dropped[kind];
  }
  drops.map_errors = bss->map_errors;
  drops.argument_errors = bss->usdt_errors;
  drops.misses_by_hook = recursion_misses(impl_->skeleton->obj);
  for (const auto& [hook, count] : drops.misses_by_hook)
    drops.recursion_misses += count;
  return drops;
}

void HostTracer::detach() {
  silence(impl_->skeleton->bss->stopped);
}

}  // namespace glassbox::bpf
