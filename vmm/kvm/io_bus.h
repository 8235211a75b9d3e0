// Which device answers at a guest address: one IoBus for memory, one for ports.
//
// Theory of operation: a table of address ranges, sorted, behind a reader-writer lock that is held for the
// lookup only, never while a device runs. A vCPU publishes the handler it is about to call before it lets go
// of the lock; remove() takes the range out under the exclusive lock and then waits until no *other* vCPU is
// inside that handler. A vCPU may therefore remove a range from within another device's handler (a
// configuration-space write that moves a BAR), provided it holds no lock that the removed handler takes.
//
// Accesses that no range covers entirely read as all ones and write nowhere, as on a PC. The access path
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

  // [base, base + size) answers to handler, which outlives the range. Fails where a range is there already.
  [[nodiscard]] Status add(std::uint64_t base, std::uint64_t size, IoHandler* handler);
  // Takes out the range that begins at base; no effect where there is none.
  void remove(std::uint64_t base);

  // False where nothing answered.
  bool read(unsigned vcpu, std::uint64_t addr, std::span<std::uint8_t> data);
  bool write(unsigned vcpu, std::uint64_t addr, std::span<const std::uint8_t> data);

 private:
  struct Range {
    std::uint64_t base;
    std::uint64_t size;
    IoHandler* handler;
  };
  struct alignas(64) Active {
    std::atomic<IoHandler*> handler{nullptr};  // the one this vCPU is inside of
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
