#include "tools/trace/report/waterfall.h"

#include <fmt/format.h>

#include "tools/trace/text/text.h"

namespace glassbox::trace {
namespace {

constexpr int kBarWidth = 30;

// Where in the cycle a step lies, and how long it takes: spaces, then at least one mark.
std::string bar(const CycleResult& c, const Step& s) {
  const double scale =
      c.total_ns() > 0 ? static_cast<double>(kBarWidth) / static_cast<double>(c.total_ns()) : 0;
  const auto from = static_cast<std::size_t>(static_cast<double>(s.begin_ns - c.begin_ns) * scale);
  const auto to = static_cast<std::size_t>(static_cast<double>(s.end_ns - c.begin_ns) * scale);
  const std::size_t start = std::min<std::size_t>(from, kBarWidth - 1);
  return std::string(start, ' ') + std::string(std::max<std::size_t>(1, to - start), '#');
}

}  // namespace

std::string format_waterfall(const CycleResult& c, std::size_t number) {
  std::string text = fmt::format("cycle {}: {}, flow {}\n", number, format_time(c.total_ns()), c.flow);
  for (const Step& s : c.path.steps) {
    const bool known = s.segment != Segment::kUnattributed;
    text +=
        fmt::format("{:>9} +{:<9} {:<{}} {:<20} {} -> {}\n", format_time(s.begin_ns - c.begin_ns),
                    format_time(s.end_ns - s.begin_ns), bar(c, s), kBarWidth,
                    known ? segment_info(s.segment).id : "unattributed", slot_name(s.from), slot_name(s.to));
  }
  if (!c.path.unseen.empty()) {
    text += "not seen:";
    for (const Slot slot : c.path.unseen)
      text += fmt::format(" {}", slot_name(slot));
    text += "\n";
  }
  return text;
}

}  // namespace glassbox::trace
