#include "vmm/kvm/usability.h"

#include <cpuid.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "vmm/base/lab.h"
#include "vmm/kvm/tiny_guest.h"

namespace glassbox::kvm {
namespace {

using std::chrono::steady_clock;

// The guest takes its loop count from ECX, which the host sets before each round.
//   1000: 49        dec ecx
//   1001: 75 fd     jnz 1000
//   1003: e6 80     out 0x80, al
constexpr std::array<std::uint8_t, 5> kLoop = {0x49, 0x75, 0xFD, 0xE6, 0x80};
constexpr std::uint64_t kInstructionsPerTurn = 2;

constexpr std::uint64_t kFirstTurns = 4'000;  // 4 ms on a KVM that interprets, microseconds on a real one
constexpr auto kEnough = std::chrono::milliseconds(60);
constexpr auto kLongRound = std::chrono::milliseconds(8);  // long against an exit and a scheduler tick

// Instructions a second in one round of `turns`.
Result<double> run_round(Vcpu& vcpu, std::uint64_t turns, steady_clock::duration& took) {
  GB_ASSIGN(kvm_regs regs, vcpu.regs());
  regs.rip = TinyGuest::kEntry;
  regs.rcx = turns;
  GB_TRY(vcpu.set_regs(regs));
  const auto begin = steady_clock::now();
  int error = 0;
  do {
    error = vcpu.run();
  } while (error == EINTR || error == EAGAIN);
  took = steady_clock::now() - begin;
  if (error != 0) return fail_errno(error, "KVM_RUN");
  if (vcpu.shared().exit_reason != KVM_EXIT_IO) {
    return fail("/dev/kvm cannot run a loop of three instructions (exit reason {})",
                vcpu.shared().exit_reason);
  }
  return static_cast<double>(turns * kInstructionsPerTurn) /
         std::max(std::chrono::duration<double>(took).count(), 1e-9);
}

// The best round counts: others may have been preempted, none can be too fast.
Result<double> measure() {
  GB_ASSIGN(const Kvm kvm, Kvm::open());
  GB_ASSIGN(const auto guest, TinyGuest::create(kvm, kLoop));
  double best = 0;
  std::uint64_t turns = kFirstTurns;
  const auto end = steady_clock::now() + kEnough;
  while (steady_clock::now() < end) {
    steady_clock::duration took{};
    GB_ASSIGN(const double rate, run_round(guest->vcpu(), turns, took));
    best = std::max(best, rate);
    if (took < kLongRound / 4) turns *= 4;
  }
  return best;
}

// KVM needs VMX or SVM to run guests on the processor. A KVM that interprets them needs neither.
bool processor_has_virtualization() {
  constexpr unsigned kVmx = 1U << 5;  // leaf 1, ECX
  constexpr unsigned kSvm = 1U << 2;  // leaf 8000_0001, ECX
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0 && (c & kVmx) != 0) return true;
  return __get_cpuid(0x8000'0001, &a, &b, &c, &d) != 0 && (c & kSvm) != 0;
}

}  // namespace

Usability check_kvm_briefly() {
  if (!processor_has_virtualization()) return check_kvm();
  Usability result;
  const auto kvm = Kvm::open();
  result.usable = kvm.has_value();
  result.reason = kvm ? "the processor runs guests" : kvm.error().message;
  return result;
}

Usability check_kvm() {
  const Result<double> rate = measure();
  Usability result;
  if (!rate) {
    result.reason = rate.error().message;
    return result;
  }
  result.instructions_per_second = static_cast<std::uint64_t>(*rate);
  const bool fast = result.instructions_per_second >= kMinimumRate;
  // The lab's KVM is emulated, so it is slow, and slower on a busy host. There is no second lab to carry on
  // in.
  result.usable = fast || in_lab();
  const double millions = *rate / 1e6;
  result.reason = fmt::format("/dev/kvm runs {:.{}f} million guest instructions a second", millions,
                              millions < 100 ? 1 : 0);
  if (!fast) result.reason += fmt::format(", below {} million", kMinimumRate / 1'000'000);
  return result;
}

}  // namespace glassbox::kvm
