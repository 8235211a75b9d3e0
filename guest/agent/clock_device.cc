#include "guest/agent/clock_device.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include <atomic>
#include <cstdlib>
#include <fstream>

#include "guest/protocol.h"
#include "vmm/base/clock.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::agent {
namespace {

constexpr std::size_t kPageBytes = 4096;

unsigned long read_id(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string text;
  in >> text;
  return std::strtoul(text.c_str(), nullptr, 16);
}

}  // namespace

Result<ClockDevice> ClockDevice::open(const std::filesystem::path& pci_devices) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(pci_devices, error)) {
    const auto& dir = entry.path();
    if (read_id(dir / "vendor") != protocol::kClockPciVendor ||
        read_id(dir / "device") != protocol::kClockPciDevice) {
      continue;
    }
    // No driver claims the function, so the kernel may have left its memory decoding off.
    std::ofstream(dir / "enable") << 1 << std::flush;
    const UniqueFd fd(::open((dir / "resource0").c_str(), O_RDONLY | O_SYNC | O_CLOEXEC));
    if (!fd) return fail_errno(errno, "cannot open {}", (dir / "resource0").string());
    void* page = ::mmap(nullptr, kPageBytes, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (page == MAP_FAILED) return fail_errno(errno, "cannot map {}", (dir / "resource0").string());
    return ClockDevice(static_cast<volatile std::uint32_t*>(page));
  }
  return fail("the machine has no clock device (PCI function {:04x}:{:04x})", protocol::kClockPciVendor,
              protocol::kClockPciDevice);
}

ClockDevice::~ClockDevice() {
  if (page_ != nullptr) ::munmap(const_cast<std::uint32_t*>(page_), kPageBytes);
}

ClockExchange ClockDevice::exchange() const {
  ClockExchange result;
  // The read is uncached and exits, so the processor does not reorder it with the two clock readings. The
  // signal fences keep the compiler from doing so.
  result.before_ns = monotonic_ns();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  result.exchange = *page_;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  result.after_ns = monotonic_ns();
  return result;
}

ClockReading ClockDevice::reading() const {
  ClockReading result;
  result.before_ns = monotonic_ns();
  result.tsc_before = __rdtsc();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  result.number = page_[protocol::kClockReadingOffset / sizeof(*page_)];
  std::atomic_signal_fence(std::memory_order_seq_cst);
  result.tsc_after = __rdtsc();
  result.after_ns = monotonic_ns();
  return result;
}

}  // namespace glassbox::agent
