// All TCP flows: a fixed array of records and an open-addressed hash of their keys. Nothing allocates after
// create(), and memory of records that were never used is not touched.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "net/tcp/tcp_flow.h"
#include "vmm/base/result.h"

namespace glassbox::net {

class TcpFlowTable {
 public:
  static constexpr std::uint32_t kMaxFlows = 1U << 15;
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  // Fails if the memory cannot be reserved.
  [[nodiscard]] static Result<std::unique_ptr<TcpFlowTable>> create();
  ~TcpFlowTable();
  TcpFlowTable(const TcpFlowTable&) = delete;
  TcpFlowTable& operator=(const TcpFlowTable&) = delete;

  [[nodiscard]] TcpFlow* find(const FlowKey& key);
  // A new record under a key that is not in the table; null if the table is full. The record stays at its
  // address until erase().
  [[nodiscard]] TcpFlow* insert(const FlowKey& key);
  // The caller has released the flow's socket, queues and timer.
  void erase(TcpFlow& flow);

  [[nodiscard]] TcpFlow& at(std::uint32_t index) { return flows_[index]; }
  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] std::uint32_t ever_used() const { return ever_used_; }  // at() takes an index below this
  [[nodiscard]] std::uint64_t secret() const { return secret_; }

 private:
  static constexpr std::uint32_t kSlots = 2 * kMaxFlows;
  TcpFlowTable() = default;
  [[nodiscard]] std::uint32_t home_of(const FlowKey& key) const {
    return static_cast<std::uint32_t>(hash_of(key, secret_)) & (kSlots - 1);
  }

  TcpFlow* flows_ = nullptr;
  std::vector<std::uint32_t> slots_;  // index of a flow, or kNone
  std::vector<std::uint32_t> free_;   // records to use again, the one erased last first
  std::uint32_t ever_used_ = 0;
  std::uint32_t size_ = 0;
  std::uint64_t secret_ = 0;
};

}  // namespace glassbox::net
