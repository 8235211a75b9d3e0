// The timers of TCP: a binary heap of (due time, id) with at most one entry for each id. The capacity is
// fixed by the constructor, and nothing allocates later. Pure: due times are CLOCK_MONOTONIC in nanoseconds.
//
// Users move an entry only when it becomes due earlier. If it becomes due later, the entry comes up early and
// the user sets it again. So the common "restart the timer" costs nothing.
#pragma once

#include <cassert>
#include <cstdint>
#include <vector>

namespace glassbox::net {

class TimerHeap {
 public:
  explicit TimerHeap(std::size_t ids) : position_(ids, kAbsent) { heap_.reserve(ids); }

  // 0 if there is no entry.
  [[nodiscard]] std::uint64_t next_due_ns() const { return heap_.empty() ? 0 : heap_.front().due_ns; }
  [[nodiscard]] std::size_t size() const { return heap_.size(); }

  // Adds the entry of this id, or moves it.
  void set(std::uint32_t id, std::uint64_t due_ns) {
    std::uint32_t at = position_[id];
    if (at == kAbsent) {
      at = static_cast<std::uint32_t>(heap_.size());
      heap_.push_back({due_ns, id});
    } else {
      heap_[at].due_ns = due_ns;
    }
    sift_down(sift_up(at));
  }

  void remove(std::uint32_t id) {
    const std::uint32_t at = position_[id];
    if (at == kAbsent) return;
    position_[id] = kAbsent;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (at == heap_.size()) return;
    heap_[at] = last;
    position_[last.id] = at;
    sift_down(sift_up(at));
  }

  // Removes one entry that is due and sets id; false if there is none.
  [[nodiscard]] bool pop_due(std::uint64_t now_ns, std::uint32_t& id) {
    if (heap_.empty() || heap_.front().due_ns > now_ns) return false;
    id = heap_.front().id;
    remove(id);
    return true;
  }

 private:
  static constexpr std::uint32_t kAbsent = ~std::uint32_t{0};
  struct Entry {
    std::uint64_t due_ns;
    std::uint32_t id;
  };

  std::uint32_t sift_up(std::uint32_t at) {
    const Entry entry = heap_[at];
    while (at != 0) {
      const std::uint32_t parent = (at - 1) / 2;
      if (heap_[parent].due_ns <= entry.due_ns) break;
      place(at, heap_[parent]);
      at = parent;
    }
    place(at, entry);
    return at;
  }

  void sift_down(std::uint32_t at) {
    const Entry entry = heap_[at];
    for (;;) {
      std::uint32_t child = 2 * at + 1;
      if (child >= heap_.size()) break;
      if (child + 1 < heap_.size() && heap_[child + 1].due_ns < heap_[child].due_ns) ++child;
      if (heap_[child].due_ns >= entry.due_ns) break;
      place(at, heap_[child]);
      at = child;
    }
    place(at, entry);
  }

  void place(std::uint32_t at, const Entry& entry) {
    heap_[at] = entry;
    position_[entry.id] = at;
  }

  std::vector<Entry> heap_;
  std::vector<std::uint32_t> position_;  // by id
};

}  // namespace glassbox::net
