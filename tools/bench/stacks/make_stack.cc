#include "tools/bench/stacks/make_stack.h"

#include <unistd.h>

#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/native_stack.h"
#include "tools/bench/stacks/relay.h"

namespace glassbox::bench {
namespace {

// Each stack gets its own name: two rows of one kind must not be one VM.
std::string vm_name() {
  static int made = 0;
  return fmt::format("compare-{}-{}", ::getpid(), ++made);
}

}  // namespace

Status check_installed(const StackEntry& entry) {
  for (const std::string& program : entry.programs) {
    if (in_path(program)) continue;
    const bool last = &program == &entry.programs.back();
    return fail("not installed: apt-get install {}", last ? entry.package : "qemu-system-x86");
  }
  return {};
}

Result<std::unique_ptr<Stack>> make_stack(const StackEntry& entry, const Spec& spec,
                                          const std::string& qemu_machine, GuestReadyPort* ready_port) {
  GB_TRY(check_installed(entry));
  const std::string& name = entry.name;
  if (entry.group == Group::kVm && entry.carrier == "glassbox") {
    std::vector<std::string> options{"--append", kGuestArguments};
    if (entry.poll_off) options.insert(options.end(), {"--poll", "off"});
    return make_glassbox_stack({vm_name(), spec.vcpus, spec.memory_mib, options});
  }
  if (name == "guest-loopback") {
    return make_glassbox_stack(
        {vm_name(),
         spec.vcpus,
         spec.memory_mib,
         {"--append", kGuestArguments, "--add", program("gb-echo") + ":/bin/gb-echo"}});
  }
  if (name == "qemu-slirp" || name == "qemu-passt") {
    if (ready_port == nullptr) return fail("no vsock to reach QEMU's guests");
    return make_qemu_stack({name == "qemu-passt", qemu_machine, spec.vcpus, spec.memory_mib}, *ready_port);
  }
  if (name == "loopback") return make_loopback_stack();
  if (name == "relay") return make_relay_stack();
  return make_native_stack(entry, spec.mtu);
}

}  // namespace glassbox::bench
