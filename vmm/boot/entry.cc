#include "vmm/boot/entry.h"

#include <algorithm>

#include "vmm/platform/layout.h"

namespace glassbox::boot {

Status write_handover(const Handover& handover, const GuestMemory& memory) {
  const std::string_view text = handover.command_line;
  if (text.size() + 1 > layout::kCommandLineMax) {
    return fail("the kernel command line has {} characters, Linux accepts {}", text.size(),
                layout::kCommandLineMax - 1);
  }
  const auto room = memory.slice(layout::kCommandLine, text.size() + 1);
  if (!room) return fail("guest memory is too small to boot from");
  std::transform(text.begin(), text.end(), room->begin(),
                 [](char c) { return std::byte{static_cast<unsigned char>(c)}; });
  room->back() = std::byte{0};
  return handover.kernel.protocol == Protocol::kPvh ? write_pvh(handover, memory)
                                                    : write_linux64(handover, memory);
}

Status set_entry_registers(const Handover& handover, kvm::Vcpu& vcpu) {
  return handover.kernel.protocol == Protocol::kPvh ? set_pvh_registers(handover, vcpu)
                                                    : set_linux64_registers(handover, vcpu);
}

}  // namespace glassbox::boot
