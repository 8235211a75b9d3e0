#include "net/tcp/tcp_flow_table.h"

#include <sys/mman.h>
#include <sys/random.h>

#include <new>

namespace glassbox::net {

Result<std::unique_ptr<TcpFlowTable>> TcpFlowTable::create() {
  std::unique_ptr<TcpFlowTable> table(new TcpFlowTable);
  void* memory = ::mmap(nullptr, kMaxFlows * sizeof(TcpFlow), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return fail_errno(errno, "cannot reserve memory for the NAT's flow table");
  table->flows_ = static_cast<TcpFlow*>(memory);
  table->slots_.assign(kSlots, kNone);
  table->free_.reserve(kMaxFlows);
  if (::getrandom(&table->secret_, sizeof(table->secret_), 0) != sizeof(table->secret_)) {
    return fail_errno(errno, "cannot get random bytes for the NAT's flow table");
  }
  return table;
}

TcpFlowTable::~TcpFlowTable() {
  // Records hold no resources once erased, and the NAT erases all of them.
  if (flows_ != nullptr) ::munmap(static_cast<void*>(flows_), kMaxFlows * sizeof(TcpFlow));
}

TcpFlow* TcpFlowTable::find(const FlowKey& key) {
  for (std::uint32_t slot = home_of(key); slots_[slot] != kNone; slot = (slot + 1) & (kSlots - 1)) {
    TcpFlow& flow = flows_[slots_[slot]];
    if (flow.key == key) return &flow;
  }
  return nullptr;
}

TcpFlow* TcpFlowTable::insert(const FlowKey& key) {
  std::uint32_t index = kNone;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else if (ever_used_ < kMaxFlows) {
    index = ever_used_++;
  } else {
    return nullptr;
  }
  std::uint32_t slot = home_of(key);
  while (slots_[slot] != kNone)
    slot = (slot + 1) & (kSlots - 1);
  slots_[slot] = index;
  TcpFlow* flow = new (&flows_[index]) TcpFlow;
  flow->key = key;
  flow->index = index;
  flow->hash_slot = slot;
  ++size_;
  return flow;
}

// Moves records that probing had pushed past the hole back into it, so that no tombstones pile up.
void TcpFlowTable::erase(TcpFlow& flow) {
  std::uint32_t hole = flow.hash_slot;
  for (std::uint32_t slot = (hole + 1) & (kSlots - 1); slots_[slot] != kNone;
       slot = (slot + 1) & (kSlots - 1)) {
    TcpFlow& other = flows_[slots_[slot]];
    const std::uint32_t home = home_of(other.key);
    // Movable unless its home lies cyclically in (hole, slot].
    if (((slot - home) & (kSlots - 1)) < ((slot - hole) & (kSlots - 1))) continue;
    slots_[hole] = slots_[slot];
    other.hash_slot = hole;
    hole = slot;
  }
  slots_[hole] = kNone;
  free_.push_back(flow.index);
  --size_;
  const std::uint32_t index = flow.index;
  flow.~TcpFlow();
  TcpFlow* vacant = new (&flows_[index]) TcpFlow;
  vacant->index = index;
}

}  // namespace glassbox::net
