#include "vmm/virtio/clock_page.h"

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

ClockPage::ClockPage(VmServices& vm) : Function(vm, kIdentity) {
  add_bar(0, kPageBytes);
}

void ClockPage::bar_read(unsigned, unsigned vcpu, std::uint64_t offset, std::span<std::uint8_t> data) {
  std::uint32_t exchange = 0;
  if (offset == 0 && data.size() == sizeof(exchange)) {
    exchange = exchanges_.fetch_add(1, std::memory_order_relaxed) + 1;
    probe::clock_exchange(exchange, vcpu);
    std::memcpy(data.data(), &exchange, sizeof(exchange));
  } else {
    std::fill(data.begin(), data.end(), std::uint8_t{0});
  }
}

}  // namespace glassbox::virtio
