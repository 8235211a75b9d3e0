// /dev/kvm: its capabilities, and the virtual machines that it makes.
#pragma once

#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/vm.h"

namespace glassbox::kvm {

class Kvm {
 public:
  // The error's code is the errno of open(): ENOENT without KVM, EACCES without permission.
  [[nodiscard]] static Result<Kvm> open();

  // KVM_CHECK_EXTENSION: 0 if the capability is missing, otherwise 1 or the capability's own number.
  [[nodiscard]] int capability(int cap) const;
  [[nodiscard]] Result<Vm> create_vm() const;
  // The CPUID that KVM offers on this processor, unchanged (KVM_GET_SUPPORTED_CPUID).
  [[nodiscard]] Result<std::vector<kvm_cpuid_entry2>> supported_cpuid() const;

 private:
  Kvm(UniqueFd fd, std::size_t run_size) : fd_(std::move(fd)), run_size_(run_size) {}
  UniqueFd fd_;
  std::size_t run_size_;  // bytes of a vCPU's shared kvm_run area
};

}  // namespace glassbox::kvm
