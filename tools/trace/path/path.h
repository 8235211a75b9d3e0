// The causal path of one cycle: boundaries in the order in which they cause each other, and where the time
// between them goes.
//
// Theory of operation. The chain is linear: each boundary (Node) stands behind those that must have happened
// before it. A required node lies on the path of every cycle that has it. An optional one marks progress that
// may have been made earlier, while the cycle waited for something else (the server accepted before the
// request was there; the interrupt was raised after a polling guest took the frame): it is on the path only
// if it falls between its neighbours in time.
//
// A node that was not seen leaves a gap, and the time across a gap is nobody's: unattributed. An optional
// node that was not seen leaves one too, unless a later node of the same lane (thread) proves that it was
// early. And while an unseen node of one lane may have happened at any moment, optional nodes of other lanes
// are not placed against it: their order is not known, so the gap extends over them. Nor is an optional node
// placed while what it must precede was not seen and may have been earlier. Everything that is not certain is
// unattributed.
//
// Guest nodes carry mapped time, certain within the clock bound. Where the mapping puts a guest node on the
// wrong side of a host neighbour by no more than that, it is moved to it; host times are never touched.
// Beyond the bound the guest's claim is not believed, and the node counts as not seen.
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

enum class Where : std::uint8_t { guest, cross, host };

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
// The segment that lists the pair, or kUnattributed.
[[nodiscard]] Segment segment_of(Slot from, Slot to);
struct SegmentPair {
  Segment segment;
  Slot from, to;
};
[[nodiscard]] const std::vector<SegmentPair>& segment_pairs();

// Who makes the boundary happen: program order holds within a lane.
enum class Lane : std::uint8_t { kGuest, kNet, kServer, kRest, kEof, kGuestServer };

struct Node {
  Slot slot{};
  Lane lane{};
  bool optional = false;
  // Never on the path: an upper bound in time for unseen nodes of its lane before it.
  bool evidence_only = false;
  bool known_early = false;  // not seen as such, but known not to be on the path
  // Not seen, but another event tells its time: it bounds the cycle, and the time beside it is unattributed.
  bool implied = false;
  std::optional<std::int64_t> at_ns = {};  // host time; mapped, for a guest node
  std::int64_t slack_ns = 0;               // how far the mapping may be off; 0 for a host node
  std::uint32_t tid = 0;                   // whose doing it is, where its event says so
  std::uint16_t cpu = 0;
};

struct Step {
  Slot from{}, to{};
  Segment segment{};
  std::int64_t begin_ns = 0, end_ns = 0;
  // What the clocks leave open: of a step between the sides, the half-width of their offset; else 0.
  std::int64_t bound_ns = 0;
  std::uint32_t tid = 0;  // whose doing the boundary at its end is
  std::uint16_t cpu = 0;
};

struct Path {
  std::vector<Step> steps;  // contiguous: each begins where the one before ends
  std::vector<Slot> unseen;
};

// The first and the last node must be required and seen. Steps cover exactly [first, last].
[[nodiscard]] Path resolve_path(std::vector<Node> chain);

}  // namespace glassbox::trace
