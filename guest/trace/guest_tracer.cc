// Theory of operation. guest.bpf.c has most hooks twice, as fentry/fexit and as kprobes. fentry is preferred:
// it is cheaper, and the kernel counts its recursion misses. Loading time is part of every session in a
// guest, so the usual case is tried first: all fentry programs at once. Only if the kernel refuses them does
// the loader look up in the kernel's BTF which function is missing (enum Attempt).
#include "guest/trace/guest_tracer.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <string_view>

#include "bpf/event_ring.h"
#include "bpf/libbpf_log.h"
#include "bpf/links.h"
#include "bpf/recursion.h"
#include "gb_guest.skel.h"

namespace glassbox::bpf {
namespace {

enum class Attempt {
  kFentry,       // every fentry program; one missing function refuses them all
  kKnownFentry,  // those whose function is in the kernel's BTF
  kKprobe,
};

struct BtfFree {
  void operator()(btf* types) const { btf__free(types); }
};
struct SkeletonDestroy {
  void operator()(gb_guest* skeleton) const { gb_guest__destroy(skeleton); }
};
using SkeletonPtr = std::unique_ptr<gb_guest, SkeletonDestroy>;

// A section name is "<how>/<hook>".
std::string_view how_of(const bpf_program* program) {
  const std::string_view section = bpf_program__section_name(program);
  return section.substr(0, section.find('/'));
}
std::string_view hook_of(const bpf_program* program) {
  const std::string_view section = bpf_program__section_name(program);
  return section.substr(section.find('/') + 1);
}

constexpr std::string_view kReceiveFunction = "dev_gro_receive";
constexpr std::string_view kReceiveTracepoint = "napi_gro_receive_entry";

bool is_fentry(std::string_view how) {
  return how == "fentry" || how == "fexit";
}

// kernel_clone and bprm_execve are kprobes in every set.
bool is_kprobe_twin(const bpf_program* program) {
  const std::string_view how = how_of(program);
  const std::string_view hook = hook_of(program);
  return (how == "kprobe" || how == "kretprobe") && hook != "kernel_clone" && hook != "bprm_execve";
}

}  // namespace

struct GuestTracer::Impl {
  SkeletonPtr skeleton;
  EventRing ring;
  std::vector<LinkPtr> links;  // destroyed first
  std::vector<std::string> hooks;

  void note(const bpf_program* program, std::string_view how, const std::string& remark) {
    hooks.push_back(fmt::format("{} {}{}{}", hook_of(program), how, remark.empty() ? "" : " ", remark));
  }

  // Whether this attempt loads the program; notes functions that the kernel lacks.
  bool wanted(const bpf_program* program, Attempt attempt, const btf* kernel) {
    const std::string_view how = how_of(program);
    if (is_kprobe_twin(program)) return attempt == Attempt::kKprobe;
    if (!is_fentry(how)) return hook_of(program) != kReceiveTracepoint;
    if (attempt == Attempt::kFentry) return true;
    if (attempt == Attempt::kKprobe) return false;
    const std::string function(hook_of(program));
    if (btf__find_by_name_kind(kernel, function.c_str(), BTF_KIND_FUNC) > 0) return true;
    note(program, "missing", fmt::format("no such kernel function for {}", how));
    if (function == kReceiveFunction) bpf_program__set_autoload(skeleton->progs.tp_receive, true);
    return false;
  }

  Status load(Attempt attempt, std::size_t ring_bytes) {
    hooks.clear();
    skeleton.reset(gb_guest__open());
    if (!skeleton) return fail("cannot open the guest's BPF programs: {}", take_libbpf_error(errno));
    skeleton->rodata->own_tgid = static_cast<__u32>(getpid());
    bpf_map__set_max_entries(skeleton->maps.events, static_cast<__u32>(ring_bytes));

    std::unique_ptr<btf, BtfFree> kernel;
    if (attempt == Attempt::kKnownFentry) {
      kernel.reset(btf__load_vmlinux_btf());
      if (!kernel) return fail("this kernel has no BTF: {}", take_libbpf_error(errno));
    }
    bpf_program__set_autoload(skeleton->progs.tp_receive, false);
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) {
      if (program == skeleton->progs.tp_receive) continue;
      bpf_program__set_autoload(program, wanted(program, attempt, kernel.get()));
    }
    if (gb_guest__load(skeleton.get()) != 0) {
      return fail("the kernel refuses the guest's BPF programs: {}", take_libbpf_error(errno));
    }
    return {};
  }

  // False if fentry programs loaded but none could be attached: a kernel without them may find out only here.
  bool attach() {
    bool wanted_fentry = false;
    bool have_fentry = false;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) {
      if (!bpf_program__autoload(program)) continue;
      const std::string how(how_of(program));
      LinkPtr link(bpf_program__attach(program));
      wanted_fentry |= is_fentry(how);
      if (!link) {
        note(program, "missing", fmt::format("{}: {}", how, take_libbpf_error(errno)));
        continue;
      }
      have_fentry |= is_fentry(how);
      note(program, how, "");
      if (program == skeleton->progs.kp_clone) skeleton->bss->clone_hooked = 1;
      if (program == skeleton->progs.kp_execve) skeleton->bss->execve_hooked = 1;
      links.push_back(std::move(link));
    }
    return have_fentry || !wanted_fentry;
  }
};

GuestTracer::GuestTracer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GuestTracer::~GuestTracer() = default;

Result<std::unique_ptr<GuestTracer>> GuestTracer::open(std::size_t ring_bytes, bool use_fentry) {
  if (geteuid() != 0) return fail("tracing the kernel needs root");
  capture_libbpf_log();
  auto impl = std::make_unique<Impl>();
  Status loaded;
  for (const Attempt attempt : {Attempt::kFentry, Attempt::kKnownFentry, Attempt::kKprobe}) {
    if (!use_fentry && attempt != Attempt::kKprobe) continue;
    loaded = impl->load(attempt, ring_bytes);
    if (!loaded) continue;
    GB_TRY(impl->ring.open(bpf_map__fd(impl->skeleton->maps.events), ring_bytes));
    if (impl->attach() || attempt == Attempt::kKprobe) {
      return std::unique_ptr<GuestTracer>(new GuestTracer(std::move(impl)));
    }
    impl->links.clear();
    impl->ring.close();
  }
  return tl::unexpected<Error>(loaded.error());
}

const std::vector<std::string>& GuestTracer::hooks() const {
  return impl_->hooks;
}

Result<std::size_t> GuestTracer::consume(const Consumer& consumer) {
  return impl_->ring.consume(consumer);
}

GuestDrops GuestTracer::drops() const {
  GuestDrops drops;
  protocol::TraceDrops& totals = drops.totals;
  const auto add = [&drops](std::uint64_t& total, const char* counter, std::string what,
                            std::uint64_t count) {
    if (count == 0) return;
    total += count;
    drops.shares.push_back({counter, std::move(what), count});
  };
  const auto* bss = impl_->skeleton->bss;
  for (std::size_t kind = 0; kind < std::size(bss->dropped); ++kind)
    add(totals.ring_full, "ring_full", std::to_string(kind), bss->dropped[kind]);
  add(totals.ring_full, "ring_full", "map_errors", bss->map_errors);
  add(totals.ring_full, "ring_full", "unread_frames", bss->unread_frames);
  add(totals.kprobe_misses, "kprobe_misses", std::to_string(GB_KIND_guest_clone_begin), bss->clone_misses);
  add(totals.kprobe_misses, "kprobe_misses", std::to_string(GB_KIND_guest_exec_begin), bss->execve_misses);
  for (auto& [hook, count] : recursion_misses(impl_->skeleton->obj))
    add(totals.recursion_misses, "recursion_misses", hook, count);
  totals.own_events = bss->own_events;
  return drops;
}

void GuestTracer::stop() {
  silence(impl_->skeleton->bss->stopped);
}

}  // namespace glassbox::bpf
