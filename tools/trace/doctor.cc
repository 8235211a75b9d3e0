#include "tools/trace/doctor.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "bpf/libbpf_log.h"
#include "bpf/links.h"
#include "bpf/probes.h"
#include "net/echo_socket.h"
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

// What each program waits for.
void fire_probe() {
  probe::boot_mark(4711);
}
void fork_once() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  if (child > 0) ::waitpid(child, nullptr, 0);
}

enum class Hook { kUsdt, kTracepoint, kKprobe, kFentry };

// Loads, attaches and triggers one program; "" if its event arrived, else why not.
std::string try_hook(Hook hook) {
  std::unique_ptr<gb_doctor, SkeletonDestroy> skeleton(gb_doctor__open());
  if (!skeleton) return take_libbpf_error(errno);
  skeleton->rodata->own_tgid = static_cast<__u32>(::getpid());
  const auto& programs = skeleton->progs;
  bpf_program* const all[] = {programs.try_usdt, programs.try_tp_btf, programs.try_kprobe,
                              programs.try_fentry};
  bpf_program* const wanted = all[static_cast<int>(hook)];
  for (bpf_program* program : all)
    bpf_program__set_autoload(program, program == wanted);
  if (gb_doctor__load(skeleton.get()) != 0) return "does not load: " + take_libbpf_error(errno);
  int events = 0;
  const auto count = [](void* n, void*, std::size_t) {
    ++*static_cast<int*>(n);
    return 0;
  };
  const std::unique_ptr<ring_buffer, RingFree> ring(
      ring_buffer__new(bpf_map__fd(skeleton->maps.events), count, &events, nullptr));
  if (!ring) return "no ring buffer: " + take_libbpf_error(errno);
  const LinkPtr link(hook == Hook::kUsdt ? bpf_program__attach_usdt(wanted, ::getpid(), "/proc/self/exe",
                                                                    "glassbox", "boot_mark", nullptr)
                                         : bpf_program__attach(wanted));
  if (!link) return "does not attach: " + take_libbpf_error(errno);
  hook == Hook::kUsdt ? fire_probe() : fork_once();
  ring_buffer__consume(ring.get());
  return events > 0 ? "" : "attaches, but its event does not arrive";
}

Finding examine_hook(Hook hook, std::string what, std::string gives) {
  const std::string error = try_hook(hook);
  return {std::move(what), error.empty(), error.empty() ? "attached, fired, its event arrived" : error,
          std::move(gives)};
}

// Which way an ICMP echo of a guest goes: as this user, who is not necessarily the one who runs glassbox.
Finding examine_echo() {
  const net::EchoSocket echo = net::open_echo_socket(false);
  Finding finding{"ICMP echo", echo.way != net::EchoWay::kNone, "",
                  "ping out of the guest, nothing of the attribution"};
  switch (echo.way) {
    case net::EchoWay::kPing:
      finding.detail = "by a ping socket (net.ipv4.ping_group_range lets this user's group)";
      break;
    case net::EchoWay::kRaw:
      finding.detail =
          "by a raw socket (CAP_NET_RAW); for users without it: sysctl net.ipv4.ping_group_range='0 "
          "2147483647'";
      break;
    case net::EchoWay::kNone:
      finding.detail = fmt::format(
          "no socket ({}): guests get 'administratively prohibited'; open it with sysctl "
          "net.ipv4.ping_group_range='0 2147483647', or give glassbox CAP_NET_RAW",
          std::strerror(echo.error));
      break;
  }
  return finding;
}

}  // namespace

std::vector<Finding> examine_machine() {
  capture_libbpf_log();
  std::vector<Finding> findings;
  const bool root = ::geteuid() == 0;
  findings.push_back({"permission", root,
                      root ? "root" : "not root: USDT probes need CAP_SYS_ADMIN, run it as root",
                      "everything on the host"});
  const bool btf = ::access("/sys/kernel/btf/vmlinux", R_OK) == 0;
  findings.push_back({"kernel BTF", btf, btf ? "/sys/kernel/btf/vmlinux" : "the kernel was built without it",
                      "all BPF programs"});
  findings.push_back(examine_hook(Hook::kUsdt, "USDT + ring buffer", "the NAT's rows and the clock"));
  findings.push_back(examine_hook(Hook::kTracepoint, "tp_btf", "the server's rows"));
  findings.push_back(examine_hook(Hook::kKprobe, "kprobe",
                                  "nothing on the host; in the guest, the beginning of fork and exec"));
  findings.push_back(examine_hook(Hook::kFentry, "fentry",
                                  "nothing on the host; in the guest, sockets and received frames"));
  findings.push_back(examine_echo());
  const kvm::Usability usability = kvm::check_kvm();
  findings.push_back({"/dev/kvm", usability.usable,
                      usability.reason + (usability.usable ? "" : "; guests run in the lab (tools/in-lab)"),
                      "running a guest here"});
  return findings;
}

}  // namespace glassbox::trace
