// The causal path of one cycle: its boundaries in the order in which they cause each other, and the segment
// that the time between two of them belongs to.
//
// Theory of operation. A chain is linear: each boundary (Node) follows those that must have happened before
// it. A required node lies on the path of every cycle that has it. An optional node marks progress that may
// have been made earlier, while the cycle waited for something else (the server called accept() before the
// request arrived; the interrupt was raised after a polling guest took the frame). It is on the path only if
// it falls between its neighbours in time.
//
// A node that was not seen leaves a gap, and the time across a gap is unattributed. An optional node that was
// not seen leaves a gap too, unless a later node of the same lane (thread) proves that it was early. While an
// unseen node of one lane may have happened at any moment, its order with optional nodes of other lanes is
// not known, so the gap extends over them. Nor is an optional node placed while a node that must follow it
// was not seen and may have come earlier. Whatever is not certain is unattributed.
//
// Guest nodes carry mapped time, certain within the clock bound. If the mapping puts a guest node on the
// wrong side of a host neighbour by no more than the bound, the guest node moves to the host's time; host
// times never change. Beyond the bound the guest's record is not believed, and the node counts as not seen.
//
// Pure: values in, values out.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace glassbox::trace {

enum class Slot : std::uint8_t {
#define GB_SLOT(slot, kind) slot,
#include "bpf/segments.def"
  kCount
};

enum class Segment : std::uint8_t {
#define GB_SEGMENT(id, side, label) id,
#include "bpf/segments.def"
  kCount,
  kUnattributed = kCount
};
inline constexpr std::size_t kSegments = static_cast<std::size_t>(Segment::kCount);

// The side that a segment lies on; cross: it begins on one side and ends on the other.
enum class Where : std::uint8_t { guest, cross, host };
[[nodiscard]] std::string_view name_of(Where side);

struct SegmentInfo {
  std::string_view id;
  Where side;
  std::string_view label;
};
[[nodiscard]] const SegmentInfo& segment_info(Segment segment);
[[nodiscard]] std::string_view slot_name(Slot slot);
[[nodiscard]] std::uint16_t slot_kind(Slot slot);
[[nodiscard]] inline bool is_guest_slot(Slot slot) {
  return slot_kind(slot) >= 128;
}
// The segment that lists this pair of boundaries, or kUnattributed.
[[nodiscard]] Segment segment_of(Slot from, Slot to);
struct SegmentPair {
  Segment segment;
  Slot from, to;
};
[[nodiscard]] const std::vector<SegmentPair>& segment_pairs();

// The thread of execution that a boundary belongs to. Within a lane, program order holds.
enum class Lane : std::uint8_t { kGuest, kNet, kServer, kRest, kEof, kGuestServer };

struct Node {
  Slot slot{};
  Lane lane{};
  bool optional = false;
  // Never on the path: it only bounds in time the unseen nodes of its lane before it.
  bool evidence_only = false;
  bool known_early = false;  // has no event, but is known not to be on the path
  // Its event was lost, but another event states its time: it bounds the cycle, and the time on both sides of
  // it is unattributed.
  bool implied = false;
  std::optional<std::int64_t> at_ns = {};  // host time; mapped, for a guest node
  std::int64_t slack_ns = 0;               // uncertainty of the mapping; 0 for a host node
  std::uint32_t tid = 0;                   // the thread that made it happen; 0: not known
  std::uint16_t cpu = 0;
};

struct Step {
  Slot from{}, to{};
  Segment segment{};
  std::int64_t begin_ns = 0, end_ns = 0;
  // Uncertainty from the clocks: for a step between the sides the half-width of their offset, else 0.
  std::int64_t bound_ns = 0;
  std::uint32_t tid = 0;  // the thread that made its end happen
  std::uint16_t cpu = 0;
};

struct Path {
  std::vector<Step> steps;   // contiguous: each begins where the one before ends
  std::vector<Slot> unseen;  // boundaries that the path should have and that were not seen
};

// The first and the last node must be required and seen. The steps cover exactly the time between them.
[[nodiscard]] Path resolve_path(std::vector<Node> chain);

}  // namespace glassbox::trace
