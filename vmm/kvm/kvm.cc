#include "vmm/kvm/kvm.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include "vmm/kvm/cpuid_amx.h"
#include "vmm/kvm/flex_array.h"

namespace glassbox::kvm {
namespace {

constexpr const char* kDevice = "/dev/kvm";

tl::unexpected<Error> cannot_open(int errnum) {
  switch (errnum) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return tl::unexpected<Error>(
          Error{"there is no /dev/kvm here (load kvm_intel or kvm_amd, or enable virtualization)", errnum});
    case EACCES:
    case EPERM:
      return tl::unexpected<Error>(
          Error{"no permission on /dev/kvm (join its group, usually kvm, or run as root)", errnum});
    default:
      return fail_errno(errnum, "cannot open /dev/kvm");
  }
}

}  // namespace

Result<Kvm> Kvm::open() {
  UniqueFd fd(::open(kDevice, O_RDWR | O_CLOEXEC));
  if (!fd) return cannot_open(errno);
  const int version = ::ioctl(fd.get(), KVM_GET_API_VERSION, 0);
  if (version != KVM_API_VERSION) {
    return fail("/dev/kvm has API version {}, and glassbox needs version {}", version, KVM_API_VERSION);
  }
  const int run_size = ::ioctl(fd.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_size < static_cast<int>(sizeof(kvm_run))) {
    return fail_errno(errno, "KVM_GET_VCPU_MMAP_SIZE gave {}", run_size);
  }
  return Kvm(std::move(fd), static_cast<std::size_t>(run_size));
}

int Kvm::capability(int cap) const {
  const int value = ::ioctl(fd_.get(), KVM_CHECK_EXTENSION, cap);
  return value < 0 ? 0 : value;
}

Result<Vm> Kvm::create_vm() const {
  int fd = -1;
  do {  // EINTR: a signal came while KVM allocated
    fd = ::ioctl(fd_.get(), KVM_CREATE_VM, 0);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return fail_errno(errno, "cannot create a virtual machine (KVM_CREATE_VM)");
  return Vm(UniqueFd(fd), run_size_);
}

Result<std::vector<kvm_cpuid_entry2>> Kvm::supported_cpuid() const {
  request_amx_permission();
  for (std::uint32_t room = 128; room <= 4096; room *= 2) {
    FlexArray<kvm_cpuid2, kvm_cpuid_entry2> cpuid(room);
    cpuid.header()->nent = room;
    if (::ioctl(fd_.get(), KVM_GET_SUPPORTED_CPUID, cpuid.header()) == 0) {
      const auto entries = cpuid.entries().first(cpuid.header()->nent);
      return std::vector<kvm_cpuid_entry2>(entries.begin(), entries.end());
    }
    if (errno != E2BIG) break;
  }
  return fail_errno(errno, "KVM_GET_SUPPORTED_CPUID");
}

}  // namespace glassbox::kvm
