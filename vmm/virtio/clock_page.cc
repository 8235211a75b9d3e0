#include "vmm/virtio/clock_page.h"

#include <x86intrin.h>

#include <algorithm>
#include <cstring>

#include "bpf/probes.h"
#include "guest/protocol.h"

namespace glassbox::virtio {
namespace {

constexpr std::uint32_t kPageBytes = 4096;
constexpr pci::Identity kIdentity{.vendor = protocol::kClockPciVendor,
                                  .device = protocol::kClockPciDevice,
                                  .class_code = 0x08'80'00};  // base system peripheral, other

}  // namespace

ClockPage::ClockPage(VmServices& vm) : Function(vm, kIdentity), vm_(vm) {
  add_bar(0, kPageBytes);
}

void ClockPage::bar_read(unsigned, unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) {
  std::uint32_t number = 0;
  if (offset == 0 && data.size() == sizeof(number)) {
    number = exchanges_.fetch_add(1, std::memory_order_relaxed) + 1;
    probe::clock_exchange(number, vcpu);
    std::memcpy(data.data(), &number, sizeof(number));
  } else if (offset == protocol::kClockReadingOffset && data.size() == sizeof(number)) {
    number = readings_.fetch_add(1, std::memory_order_relaxed) + 1;
    tell_clocks(number, vcpu);
    std::memcpy(data.data(), &number, sizeof(number));
  } else {
    std::fill(data.begin(), data.end(), std::uint8_t{0});
  }
}

// The counter is read last: the probe's listener takes the time right after it.
void ClockPage::tell_clocks(std::uint32_t reading, unsigned vcpu) {
  const KvmClocks clocks = vm_.kvm_clocks(vcpu);
  probe::clock_reading(reading, vcpu, __rdtsc(), clocks.offset_error, clocks.tsc_offset, clocks.clock_error,
                       clocks.clock_flags, clocks.clock_ns, clocks.clock_tsc);
}

}  // namespace glassbox::virtio
