#include "vmm/kvm/io_bus.h"

#include <sched.h>

#include <algorithm>
#include <mutex>

namespace glassbox::kvm {
namespace {

// The vCPU whose exit this thread is handling; kMaxVcpus on every other thread. remove() must not wait for
// it.
thread_local unsigned current_vcpu = layout::kMaxVcpus;

}  // namespace

Status IoBus::add(std::uint64_t base, std::uint64_t size, IoHandler* handler) {
  if (size == 0 || base + (size - 1) < base) {
    return fail("invalid {} range: {:#x} bytes at {:#x}", what_, size, base);
  }
  const std::unique_lock lock(mutex_);
  const auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), base,
                       [](std::uint64_t addr, const Range& range) { return addr < range.base; });
  const bool overlaps_next = after != ranges_.end() && after->base - base < size;
  const bool overlaps_last =
      after != ranges_.begin() && base - std::prev(after)->base < std::prev(after)->size;
  if (overlaps_next || overlaps_last) {
    return fail("the {} range of {:#x} bytes at {:#x} overlaps that of another device", what_, size, base);
  }
  ranges_.insert(after, Range{base, size, handler});
  return {};
}

void IoBus::remove(std::uint64_t base) {
  IoHandler* handler = nullptr;
  {
    const std::unique_lock lock(mutex_);
    const auto at = std::find_if(ranges_.begin(), ranges_.end(),
                                 [base](const Range& range) { return range.base == base; });
    if (at == ranges_.end()) return;
    handler = at->handler;
    ranges_.erase(at);
  }
  for (unsigned vcpu = 0; vcpu < active_.size(); ++vcpu) {
    if (vcpu == current_vcpu) continue;
    while (active_[vcpu].handler.load(std::memory_order_acquire) == handler)
      ::sched_yield();
  }
}

IoBus::Found IoBus::enter(unsigned vcpu, std::uint64_t addr, std::size_t len) {
  const std::shared_lock lock(mutex_);
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), addr,
                                      [](std::uint64_t at, const Range& range) { return at < range.base; });
  if (after == ranges_.begin()) return {nullptr, 0};
  const Range& range = *std::prev(after);
  const std::uint64_t offset = addr - range.base;
  if (offset >= range.size || range.size - offset < len) return {nullptr, 0};
  active_[vcpu].handler.store(range.handler, std::memory_order_release);
  current_vcpu = vcpu;
  return {range.handler, offset};
}

bool IoBus::read(unsigned vcpu, std::uint64_t addr, std::span<std::uint8_t> data) {
  const Found found = enter(vcpu, addr, data.size());
  if (found.handler == nullptr) {
    std::fill(data.begin(), data.end(), std::uint8_t{0xFF});
    return false;
  }
  found.handler->io_read(vcpu, found.offset, data);
  leave(vcpu);
  return true;
}

bool IoBus::write(unsigned vcpu, std::uint64_t addr, std::span<const std::uint8_t> data) {
  const Found found = enter(vcpu, addr, data.size());
  if (found.handler == nullptr) return false;
  found.handler->io_write(vcpu, found.offset, data);
  leave(vcpu);
  return true;
}

}  // namespace glassbox::kvm
