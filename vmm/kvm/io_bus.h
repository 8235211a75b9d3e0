// Finds the device at a guest address: one IoBus for memory, one for ports.
//
// Theory of operation: a table of address ranges, sorted, behind a reader-writer lock that is held for the
// lookup only, never while a device runs. A vCPU publishes the handler that it is about to call before it
// releases the lock; remove() takes the range out under the exclusive lock and then waits until no *other*
// vCPU is inside that handler. A vCPU may therefore remove a range from within another device's handler (a
// configuration-space write that moves a BAR), provided it holds no lock that the removed handler takes.
//
// An access that no range covers entirely reads as all ones and writes nothing, as on a PC. The access path
// allocates nothing.
//
// Thread: read() and write() on the vCPU's own thread; add() and remove() on any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <shared_mutex>
#include <span>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/platform/layout.h"
#include "vmm/platform/services.h"

namespace glassbox::kvm {

class IoBus {
 public:
  // what names the bus in errors: "memory" or "port".
  explicit IoBus(const char* what) : what_(what) {}

  // Gives [base, base + size) to handler, which must outlive the range. Fails if it overlaps another range.
  [[nodiscard]] Status add(std::uint64_t base, std::uint64_t size, IoHandler* handler);
  // Removes the range that begins at base, if there is one.
  void remove(std::uint64_t base);

  // False if no device is there.
  bool read(unsigned vcpu, std::uint64_t addr, std::span<std::uint8_t> data);
  bool write(unsigned vcpu, std::uint64_t addr, std::span<const std::uint8_t> data);

 private:
  struct Range {
    std::uint64_t base;
    std::uint64_t size;
    IoHandler* handler;
  };
  struct alignas(64) Active {
    std::atomic<IoHandler*> handler{nullptr};  // the handler that this vCPU is in
  };
  struct Found {
    IoHandler* handler;
    std::uint64_t offset;
  };
  Found enter(unsigned vcpu, std::uint64_t addr, std::size_t len);
  void leave(unsigned vcpu) { active_[vcpu].handler.store(nullptr, std::memory_order_release); }

  const char* what_;
  std::shared_mutex mutex_;
  std::vector<Range> ranges_;  // by base
  std::array<Active, layout::kMaxVcpus> active_;
};

}  // namespace glassbox::kvm
