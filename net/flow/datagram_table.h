// A table of datagram flows: a fixed number of records, found by key. The owner inserts, erases and closes
// them once idle. Nothing allocates after the constructor.
//
// A Flow has: FlowKey key; std::uint16_t index, next; bool open; std::uint64_t active_ns.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "net/flow/flow_key.h"

namespace glassbox::net {

template <typename Flow, std::uint16_t kMax>
class DatagramTable {
 public:
  static constexpr std::uint32_t kMaxFlows = kMax;

  DatagramTable() : flows_(new Flow[kMax]) {
    buckets_.fill(kNone);
    for (std::uint16_t i = 0; i < kMax; ++i) {
      flows_[i].index = i;
      flows_[i].next = i + 1 < kMax ? static_cast<std::uint16_t>(i + 1) : kNone;
    }
  }

  [[nodiscard]] std::uint32_t size() const { return size_; }

  [[nodiscard]] Flow* find(const FlowKey& key) {
    for (std::uint16_t i = bucket_of(key); i != kNone; i = flows_[i].next) {
      if (flows_[i].key == key) return &flows_[i];
    }
    return nullptr;
  }

  // The record that insert() will use next; null when all are in use.
  [[nodiscard]] Flow* vacant() { return free_ == kNone ? nullptr : &flows_[free_]; }

  void insert(Flow& vacant, const FlowKey& key) {
    free_ = vacant.next;
    vacant.key = key;
    vacant.open = true;
    std::uint16_t& bucket = bucket_of(key);
    vacant.next = bucket;
    bucket = vacant.index;
    ++size_;
  }

  void erase(Flow& flow) {
    std::uint16_t* link = &bucket_of(flow.key);
    while (*link != flow.index)
      link = &flows_[*link].next;
    *link = flow.next;
    flow.open = false;
    flow.next = free_;
    free_ = flow.index;
    --size_;
  }

  // The function may erase the flow it is given.
  template <typename Function>
  void for_each(Function function) {
    for (std::uint16_t i = 0; i < kMax; ++i) {
      if (flows_[i].open) function(flows_[i]);
    }
  }

 private:
  static constexpr std::uint16_t kNone = 0xffff;

  // No secret is needed: whatever ports a guest chooses, a chain is no longer than this small table.
  [[nodiscard]] std::uint16_t& bucket_of(const FlowKey& key) { return buckets_[hash_of(key, 0) % kMax]; }

  std::unique_ptr<Flow[]> flows_;
  std::array<std::uint16_t, kMax> buckets_;
  std::uint16_t free_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace glassbox::net
