#include "vmm/kvm/tsc_offset.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#include <array>

#include "vmm/kvm/tiny_guest.h"

namespace glassbox::kvm {
namespace {

//   1000: 0f 31     rdtsc
//   1002: e6 80     out 0x80, al
constexpr std::array<std::uint8_t, 4> kReadCounter = {0x0f, 0x31, 0xe6, 0x80};
// 2^44 ticks: hours on any machine, far more than a guest takes to run.
constexpr std::uint64_t kShift = std::uint64_t{1} << 44;

Result<std::uint64_t> guest_counter(Vcpu& vcpu) {
  GB_ASSIGN(kvm_regs regs, vcpu.regs());
  regs.rip = TinyGuest::kEntry;
  GB_TRY(vcpu.set_regs(regs));
  int error = 0;
  do {
    error = vcpu.run();
  } while (error == EINTR || error == EAGAIN);
  if (error != 0) return fail_errno(error, "KVM_RUN");
  if (vcpu.shared().exit_reason != KVM_EXIT_IO)
    return fail("the guest did not reach the read of its counter");
  GB_ASSIGN(regs, vcpu.regs());
  return (regs.rdx & 0xffffffff) << 32 | (regs.rax & 0xffffffff);
}

// How far the guest's counter is moved by an offset that is larger by kShift.
Result<std::uint64_t> shift_seen() {
  GB_ASSIGN(const Kvm kvm, Kvm::open());
  GB_ASSIGN(const auto guest, TinyGuest::create(kvm, kReadCounter));
  Vcpu& vcpu = guest->vcpu();
  GB_ASSIGN(const std::uint64_t offset, vcpu.tsc_offset());
  GB_ASSIGN(const std::uint64_t before, guest_counter(vcpu));
  GB_TRY(vcpu.set_tsc_offset(offset + kShift));
  GB_ASSIGN(const std::uint64_t after, guest_counter(vcpu));
  return after - before;
}

}  // namespace

TscOffset check_tsc_offset() {
  const auto seen = shift_seen();
  if (!seen) return {false, seen.error().message};
  // Between the two reads some time passes as well.
  if (*seen >= kShift && *seen < kShift + kShift / 2)
    return {true, "the guest's counter moved by what was set"};
  return {false,
          fmt::format("accepted and not obeyed: set to move by {} ticks, the guest's counter moved by {}",
                      kShift, static_cast<std::int64_t>(*seen))};
}

}  // namespace glassbox::kvm
