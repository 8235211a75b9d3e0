#include "tools/trace/doctor/doctor.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "bpf/libbpf_log.h"
#include "bpf/links.h"
#include "bpf/probes.h"
#include "net/icmp/echo_socket.h"
#include "tools/trace/doctor/doctor_semaphore.h"
#include "vmm/kvm/tsc_offset.h"
#include "vmm/kvm/usability.h"
// The generated skeleton is C.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wpedantic"
#include "gb_doctor.skel.h"
#pragma GCC diagnostic pop

namespace glassbox::trace {
namespace {

struct SkeletonDestroy {
  void operator()(gb_doctor* skeleton) const { gb_doctor__destroy(skeleton); }
};
struct RingFree {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

// What makes each hook fire.
void fire_probe() {
  probe::boot_mark(4711);
}
void fork_once() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  if (child > 0) ::waitpid(child, nullptr, 0);
}

enum class Hook { kUsdt, kTracepoint, kKprobe, kFentry, kKvm, kSemaphore };

bpf::LinkPtr attach(bpf_program* program, Hook hook) {
  const auto usdt = [program](const char* provider, const char* name) {
    return bpf::LinkPtr(
        bpf_program__attach_usdt(program, ::getpid(), "/proc/self/exe", provider, name, nullptr));
  };
  if (hook == Hook::kUsdt) return usdt("glassbox", "boot_mark");
  if (hook == Hook::kSemaphore) return usdt("glassbox_doctor", "with_semaphore");
  return bpf::LinkPtr(bpf_program__attach(program));
}

void fire(Hook hook) {
  switch (hook) {
    case Hook::kUsdt:
      return fire_probe();
    case Hook::kKvm:
      (void)kvm::check_kvm();
      return;
    case Hook::kSemaphore:
      return fire_if_enabled();
    default:
      return fork_once();
  }
}

// Loads, attaches and triggers one program. Empty if its event arrived, else the reason why not.
std::string try_hook(Hook hook) {
  std::unique_ptr<gb_doctor, SkeletonDestroy> skeleton(gb_doctor__open());
  if (!skeleton) return bpf::take_libbpf_error(errno);
  skeleton->rodata->own_tgid = static_cast<__u32>(::getpid());
  const auto& programs = skeleton->progs;
  bpf_program* const all[] = {programs.try_usdt,   programs.try_tp_btf, programs.try_kprobe,
                              programs.try_fentry, programs.try_kvm,    programs.try_semaphore};
  bpf_program* const wanted = all[static_cast<int>(hook)];
  for (bpf_program* program : all)
    bpf_program__set_autoload(program, program == wanted);
  if (gb_doctor__load(skeleton.get()) != 0) return "cannot load: " + bpf::take_libbpf_error(errno);
  int events = 0;
  const auto count = [](void* n, void*, std::size_t) {
    ++*static_cast<int*>(n);
    return 0;
  };
  const std::unique_ptr<ring_buffer, RingFree> ring(
      ring_buffer__new(bpf_map__fd(skeleton->maps.events), count, &events, nullptr));
  if (!ring) return "no ring buffer: " + bpf::take_libbpf_error(errno);
  const bpf::LinkPtr link = attach(wanted, hook);
  if (!link) return "cannot attach: " + bpf::take_libbpf_error(errno);
  fire(hook);
  ring_buffer__consume(ring.get());
  return events > 0 ? "" : "attached, but its event did not arrive";
}

Finding examine_hook(Hook hook, const char* name, const char* gives, const char* advice, bool needed) {
  const std::string error = try_hook(hook);
  const bool works = error.empty();
  return {
      name, works, needed, works ? "attached, fired, its event arrived" : error, gives, works ? "" : advice};
}

Finding examine_tsc_offset() {
  const kvm::TscOffset offset = kvm::check_tsc_offset();
  return {"TSC offset",
          offset.honest,
          false,
          offset.detail,
          "a cross-check of the guest's clock",
          offset.honest ? "" : "nothing: the clock's bound comes from exchanges, not from this"};
}

Finding examine_kvm() {
  const kvm::Usability usability = kvm::check_kvm();
  return {
      "KVM",
      usability.usable,
      false,
      usability.reason,
      "the guest's rows: a VM on this machine",
      usability.usable ? "" : "`glassbox run` continues in the lab by itself; `glassbox netns` needs no KVM"};
}

}  // namespace

std::vector<Finding> examine_machine() {
  bpf::capture_libbpf_log();
  std::vector<Finding> findings;
  const bool root = ::geteuid() == 0;
  findings.push_back({"permission", root, true, root ? "root" : "not root: USDT probes need CAP_SYS_ADMIN",
                      "everything on the host", root ? "" : "run as root"});
  const bool btf = ::access("/sys/kernel/btf/vmlinux", R_OK) == 0;
  findings.push_back({"kernel BTF", btf, true,
                      btf ? "/sys/kernel/btf/vmlinux exists" : "the kernel was built without BTF",
                      "all BPF programs", btf ? "" : "boot a kernel with CONFIG_DEBUG_INFO_BTF"});
  findings.push_back(examine_hook(Hook::kUsdt, "USDT, ring buffer", "the NAT's rows and the clock",
                                  "needs CONFIG_UPROBE_EVENTS and CAP_SYS_ADMIN", true));
  findings.push_back(examine_hook(Hook::kSemaphore, "USDT semaphores",
                                  "nothing: the probes of glassbox have no semaphores",
                                  "nothing: only probes of other programs need them", false));
  findings.push_back(
      examine_hook(Hook::kTracepoint, "tp_btf", "the server's rows; running, runnable, blocked",
                   "needs CAP_BPF and CAP_PERFMON; without it the server's rows are not seen", true));
  findings.push_back(examine_hook(Hook::kKvm, "KVM tracepoints", "the vCPUs' time in exits",
                                  "load the kvm module; without it no time counts as \"in exit handling\"",
                                  false));
  findings.push_back(examine_hook(Hook::kKprobe, "kprobe",
                                  "nothing on the host; in a guest, the beginning of fork and exec",
                                  "nothing: the guest's kernel has its own", false));
  findings.push_back(
      examine_hook(Hook::kFentry, "fentry", "nothing on the host; in a guest, sockets and received frames",
                   "nothing: the guest's agent uses kprobes if its kernel has no fentry", false));
  findings.push_back(examine_kvm());
  findings.push_back(examine_tsc_offset());
  return findings;
}

bool fit_to_trace(const std::vector<Finding>& findings) {
  return std::all_of(findings.begin(), findings.end(), [](const Finding& f) { return f.works || !f.needed; });
}

std::string findings_text(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& f : findings) {
    text += fmt::format("{:<18} {:<4} {}\n{:23} gives: {}\n", f.what, f.works ? "yes" : "no", f.detail, "",
                        f.gives);
    if (!f.advice.empty()) text += fmt::format("{:23} to do: {}\n", "", f.advice);
  }
  return text + (fit_to_trace(findings) ? "the host side can be traced here\n"
                                        : "the host side cannot be traced here\n");
}

nlohmann::json findings_json(const std::vector<Finding>& findings) {
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& f : findings)
    list.push_back({{"what", f.what},
                    {"works", f.works},
                    {"needed", f.needed},
                    {"detail", f.detail},
                    {"gives", f.gives},
                    {"to_do", f.advice}});
  return {{"fit", fit_to_trace(findings)}, {"findings", list}};
}

}  // namespace glassbox::trace
