#include "tools/trace/path/path.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "bpf/events.h"

namespace glassbox::trace {
namespace {

constexpr std::size_t kSlots = static_cast<std::size_t>(Slot::kCount);

constexpr std::string_view kSlotNames[] = {
#define GB_SLOT(slot, kind) #slot,
#include "bpf/segments.def"
};
constexpr std::uint16_t kSlotKinds[] = {
#define GB_SLOT(slot, kind) GB_KIND_##kind,
#include "bpf/segments.def"
};
constexpr SegmentInfo kSegmentInfos[] = {
#define GB_SEGMENT(id, side, label) {#id, Where::side, label},
#include "bpf/segments.def"
};
constexpr SegmentPair kPairs[] = {
#define GB_PAIR(id, from, to) {Segment::id, Slot::from, Slot::to},
#include "bpf/segments.def"
};

// The walk along a chain: which nodes are on the path so far, and which gap is open.
struct Walk {
  std::vector<Node>& chain;
  std::vector<std::size_t> placed;  // indices on the path so far
  std::vector<std::size_t> gap;     // unseen nodes after the last placed one
  std::vector<bool> after_gap;      // by position in placed: a gap lies before it
  Path path;

  explicit Walk(std::vector<Node>& nodes) : chain(nodes) {}

  [[nodiscard]] std::int64_t now() const { return *chain[placed.back()].at_ns; }

  void place(std::size_t k) {
    after_gap.push_back(!gap.empty());
    placed.push_back(k);
    gap.clear();
  }
  void miss(std::size_t k) {
    gap.push_back(k);
    path.unseen.push_back(chain[k].slot);
  }

  // The time of the next required node that was seen; the chain's last node is one.
  [[nodiscard]] std::int64_t next_required(std::size_t k) const {
    for (++k; k < chain.size(); ++k)
      if (!chain[k].optional && !chain[k].evidence_only && chain[k].at_ns) return *chain[k].at_ns;
    return INT64_MAX;
  }
  [[nodiscard]] bool proven_early(std::size_t k) const {
    if (chain[k].known_early) return true;
    for (std::size_t later = k + 1; later < chain.size(); ++later)
      if (chain[later].lane == chain[k].lane && chain[later].at_ns && *chain[later].at_ns <= now())
        return true;
    return false;
  }
  // A later node of its lane came before t: the node had no effect (an interrupt for a frame that the guest
  // had already taken).
  [[nodiscard]] bool overtaken(std::size_t k, std::int64_t t) const {
    return std::any_of(
        chain.begin() + static_cast<std::ptrdiff_t>(k) + 1, chain.end(),
        [&](const Node& later) { return later.lane == chain[k].lane && later.at_ns && *later.at_ns < t; });
  }
  // True if every unseen node of another lane is known to have happened before t.
  [[nodiscard]] bool order_known(std::size_t k, std::int64_t t) const {
    return std::all_of(gap.begin(), gap.end(), [&](std::size_t g) {
      if (chain[g].lane == chain[k].lane) return true;
      for (std::size_t later = g + 1; later < chain.size(); ++later)
        if (chain[later].lane == chain[g].lane && chain[later].at_ns && *chain[later].at_ns <= t) return true;
      return false;
    });
  }

  // A required node that must follow was not seen, and may have happened before t: no earlier node of its
  // lane is at or after t.
  [[nodiscard]] bool maybe_late(std::size_t k, std::int64_t t) const {
    for (std::size_t u = k + 1; u < chain.size(); ++u) {
      if (chain[u].optional || chain[u].evidence_only) continue;
      if (chain[u].at_ns) return false;
      if (chain[u].lane == chain[k].lane) continue;
      const bool known =
          std::any_of(chain.begin(), chain.begin() + static_cast<std::ptrdiff_t>(u), [&](const Node& before) {
            return before.lane == chain[u].lane && before.at_ns && *before.at_ns >= t;
          });
      if (!known) return true;
    }
    return false;
  }

  void visit_optional(std::size_t k) {
    const Node& node = chain[k];
    if (!node.at_ns) {
      if (!proven_early(k)) miss(k);
      return;
    }
    const std::int64_t t = *node.at_ns;
    if (t >= now() && maybe_late(k, t)) return gap.push_back(k);
    if (t >= now() && t <= next_required(k) && !overtaken(k, t) && order_known(k, t)) place(k);
  }

  // Moves guest nodes at the end of the path back to t. False if the clock bound does not allow it.
  [[nodiscard]] bool lower_guest_nodes(std::int64_t t) {
    for (auto it = placed.rbegin(); it != placed.rend() && *chain[*it].at_ns > t; ++it) {
      const Node& node = chain[*it];
      if (node.slack_ns == 0 || *node.at_ns - t > node.slack_ns || it + 1 == placed.rend()) return false;
    }
    for (auto it = placed.rbegin(); it != placed.rend() && *chain[*it].at_ns > t; ++it)
      chain[*it].at_ns = t;
    return true;
  }

  void visit_required(std::size_t k) {
    Node& node = chain[k];
    if (!node.at_ns) return miss(k);
    if (*node.at_ns < now()) {
      if (node.slack_ns > 0 && now() - *node.at_ns <= node.slack_ns)
        node.at_ns = now();
      else if (node.slack_ns > 0 || !lower_guest_nodes(*node.at_ns))
        return miss(k);
    }
    place(k);
  }
};

}  // namespace

std::string_view name_of(Where side) {
  return side == Where::guest ? "guest" : side == Where::host ? "host" : "cross";
}

const SegmentInfo& segment_info(Segment segment) {
  return kSegmentInfos[static_cast<std::size_t>(segment)];
}
std::string_view slot_name(Slot slot) {
  return kSlotNames[static_cast<std::size_t>(slot)];
}
std::uint16_t slot_kind(Slot slot) {
  return kSlotKinds[static_cast<std::size_t>(slot)];
}

const std::vector<SegmentPair>& segment_pairs() {
  static const std::vector<SegmentPair> pairs(std::begin(kPairs), std::end(kPairs));
  return pairs;
}

Segment segment_of(Slot from, Slot to) {
  static const auto table = [] {
    std::array<std::array<Segment, kSlots>, kSlots> t;
    for (auto& row : t)
      row.fill(Segment::kUnattributed);
    for (const SegmentPair& p : kPairs)
      t[static_cast<std::size_t>(p.from)][static_cast<std::size_t>(p.to)] = p.segment;
    return t;
  }();
  return table[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
}

Path resolve_path(std::vector<Node> chain) {
  assert(!chain.empty() && chain.front().at_ns && chain.back().at_ns);
  Walk walk(chain);
  walk.place(0);
  const std::int64_t end = *chain.back().at_ns;
  for (std::size_t k = 1; k < chain.size(); ++k) {
    if (chain[k].evidence_only) continue;
    if (chain[k].at_ns && *chain[k].at_ns > end && k + 1 < chain.size()) {
      // After the end of the cycle: an optional node is not on its path, a required one is not believed.
      if (!chain[k].optional) walk.miss(k);
      continue;
    }
    chain[k].optional ? walk.visit_optional(k) : walk.visit_required(k);
  }
  // The end closes the path in any case, so that the steps always cover the cycle.
  if (walk.placed.back() + 1 != chain.size()) {
    while (*chain[walk.placed.back()].at_ns > end) {
      walk.miss(walk.placed.back());
      walk.placed.pop_back();
      walk.after_gap.pop_back();
    }
    walk.gap.push_back(walk.placed.back());
    walk.place(chain.size() - 1);
  }
  for (std::size_t p = 1; p < walk.placed.size(); ++p) {
    const Node& a = chain[walk.placed[p - 1]];
    const Node& b = chain[walk.placed[p]];
    const bool lost = walk.after_gap[p] || a.implied || b.implied;
    const Segment segment = lost ? Segment::kUnattributed : segment_of(a.slot, b.slot);
    // The sender is the thread of the call: the frame's own event may have interrupted any thread.
    const std::uint32_t tid = slot_kind(b.slot) == GB_KIND_guest_xmit ? a.tid : b.tid;
    const std::int64_t bound =
        is_guest_slot(a.slot) != is_guest_slot(b.slot) ? std::max(a.slack_ns, b.slack_ns) : 0;
    walk.path.steps.push_back({a.slot, b.slot, segment, *a.at_ns, *b.at_ns, bound, tid, b.cpu});
  }
  for (const Node& node : chain)
    if (node.implied) walk.path.unseen.push_back(node.slot);
  return std::move(walk.path);
}

}  // namespace glassbox::trace
