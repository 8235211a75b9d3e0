#include "vmm/kvm/vcpu.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vmm/kvm/flex_array.h"

namespace glassbox::kvm {

Result<Vcpu> Vcpu::adopt(UniqueFd fd, std::size_t run_size) {
  void* run = ::mmap(nullptr, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (run == MAP_FAILED) return fail_errno(errno, "cannot map a vCPU's kvm_run area");
  return Vcpu(std::move(fd), static_cast<kvm_run*>(run), run_size);
}

Vcpu::Vcpu(Vcpu&& other) noexcept
    : fd_(std::move(other.fd_)), run_(std::exchange(other.run_, nullptr)), run_size_(other.run_size_) {}

Vcpu::~Vcpu() {
  if (run_ != nullptr) ::munmap(run_, run_size_);
}

Status Vcpu::set_cpuid(std::span<const kvm_cpuid_entry2> entries) {
  FlexArray<kvm_cpuid2, kvm_cpuid_entry2> cpuid(entries);
  cpuid.header()->nent = static_cast<std::uint32_t>(entries.size());
  if (::ioctl(fd_.get(), KVM_SET_CPUID2, cpuid.header()) != 0) return fail_errno(errno, "KVM_SET_CPUID2");
  return {};
}

Status Vcpu::set_msrs(std::span<const kvm_msr_entry> entries) {
  FlexArray<kvm_msrs, kvm_msr_entry> msrs(entries);
  msrs.header()->nmsrs = static_cast<std::uint32_t>(entries.size());
  const int done = ::ioctl(fd_.get(), KVM_SET_MSRS, msrs.header());
  if (done < 0) return fail_errno(errno, "KVM_SET_MSRS");
  if (static_cast<std::size_t>(done) != entries.size()) {
    return fail("KVM refuses model-specific register {:#x}", entries[static_cast<std::size_t>(done)].index);
  }
  return {};
}

Result<std::uint64_t> Vcpu::msr(std::uint32_t index) const {
  FlexArray<kvm_msrs, kvm_msr_entry> msrs(1);
  msrs.header()->nmsrs = 1;
  msrs.entries()[0].index = index;
  if (::ioctl(fd_.get(), KVM_GET_MSRS, msrs.header()) != 1)
    return fail_errno(errno, "KVM_GET_MSRS of {:#x}", index);
  return msrs.entries()[0].data;
}

std::uint32_t Vcpu::tsc_khz() const {
  const int khz = ::ioctl(fd_.get(), KVM_GET_TSC_KHZ, 0);
  return khz > 0 ? static_cast<std::uint32_t>(khz) : 0;
}

Result<kvm_sregs> Vcpu::sregs() const {
  kvm_sregs sregs = {};
  if (::ioctl(fd_.get(), KVM_GET_SREGS, &sregs) != 0) return fail_errno(errno, "KVM_GET_SREGS");
  return sregs;
}

Status Vcpu::set_sregs(const kvm_sregs& sregs) {
  kvm_sregs copy = sregs;
  if (::ioctl(fd_.get(), KVM_SET_SREGS, &copy) != 0) return fail_errno(errno, "KVM_SET_SREGS");
  return {};
}

Result<kvm_regs> Vcpu::regs() const {
  kvm_regs regs = {};
  if (::ioctl(fd_.get(), KVM_GET_REGS, &regs) != 0) return fail_errno(errno, "KVM_GET_REGS");
  return regs;
}

Status Vcpu::set_regs(const kvm_regs& regs) {
  kvm_regs copy = regs;
  if (::ioctl(fd_.get(), KVM_SET_REGS, &copy) != 0) return fail_errno(errno, "KVM_SET_REGS");
  return {};
}

namespace {

kvm_device_attr tsc_offset_attribute(std::uint64_t* value) {
  kvm_device_attr attribute{};
  attribute.group = KVM_VCPU_TSC_CTRL;
  attribute.attr = KVM_VCPU_TSC_OFFSET;
  attribute.addr = reinterpret_cast<std::uintptr_t>(value);
  return attribute;
}

}  // namespace

Result<std::uint64_t> Vcpu::tsc_offset() const {
  std::uint64_t offset = 0;
  const kvm_device_attr attribute = tsc_offset_attribute(&offset);
  if (::ioctl(fd_.get(), KVM_GET_DEVICE_ATTR, &attribute) != 0)
    return fail_errno(errno, "KVM here does not support KVM_VCPU_TSC_OFFSET");
  return offset;
}

Status Vcpu::set_tsc_offset(std::uint64_t offset) {
  const kvm_device_attr attribute = tsc_offset_attribute(&offset);
  if (::ioctl(fd_.get(), KVM_SET_DEVICE_ATTR, &attribute) != 0)
    return fail_errno(errno, "KVM_VCPU_TSC_OFFSET");
  return {};
}

int Vcpu::run() {
  return ::ioctl(fd_.get(), KVM_RUN, 0) == 0 ? 0 : errno;
}

}  // namespace glassbox::kvm
