// One vCPU of KVM: its fd and the kvm_run area it shares with the kernel.
//
// Thread: only the one that runs it; request_exit() may be called by any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"
#include "vmm/kvm/kvm_api.h"

namespace glassbox::kvm {

class Vcpu {
 public:
  [[nodiscard]] static Result<Vcpu> adopt(UniqueFd fd, std::size_t run_size);
  Vcpu(Vcpu&& other) noexcept;
  Vcpu& operator=(Vcpu&&) = delete;
  Vcpu(const Vcpu&) = delete;
  ~Vcpu();

  [[nodiscard]] Status set_cpuid(std::span<const kvm_cpuid_entry2> entries);
  [[nodiscard]] Status set_msrs(std::span<const kvm_msr_entry> entries);
  [[nodiscard]] Result<std::uint64_t> msr(std::uint32_t index) const;
  // The frequency of the guest's time stamp counter; 0 if KVM does not say.
  [[nodiscard]] std::uint32_t tsc_khz() const;
  [[nodiscard]] Result<kvm_sregs> sregs() const;
  [[nodiscard]] Status set_sregs(const kvm_sregs& sregs);
  [[nodiscard]] Result<kvm_regs> regs() const;
  [[nodiscard]] Status set_regs(const kvm_regs& regs);

  // KVM_VCPU_TSC_OFFSET, of the guest's time stamp counter to the host's. It may be accepted and ignored.
  [[nodiscard]] Result<std::uint64_t> tsc_offset() const;
  [[nodiscard]] Status set_tsc_offset(std::uint64_t offset);

  // KVM_RUN. Returns 0 or the errno: EINTR if a signal or request_exit() ended it, EAGAIN at times while the
  // vCPU waits to be started.
  [[nodiscard]] int run();
  [[nodiscard]] kvm_run& shared() const { return *run_; }

  // Makes the current or the next run() return EINTR. A thread inside KVM_RUN needs a signal as well.
  void request_exit() { __atomic_store_n(&run_->immediate_exit, 1, __ATOMIC_SEQ_CST); }

 private:
  Vcpu(UniqueFd fd, kvm_run* run, std::size_t run_size)
      : fd_(std::move(fd)), run_(run), run_size_(run_size) {}
  UniqueFd fd_;
  kvm_run* run_;
  std::size_t run_size_;
};

}  // namespace glassbox::kvm
