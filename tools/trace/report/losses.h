// Which events a side lost, by counter and, where that is known, by event or hook.
//
// Every counter of a side has a row, zeros included: the reader wants to know that a loss was looked for and
// not found. Counters overlap (an event for which the ring had no room is a gap in the sequence as well), so
// rows must not be added up; Side::lost() is the number of events that are missing.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/trace/file/trace.h"
#include "tools/trace/path/path.h"

namespace glassbox::trace {

struct LossRow {
  std::string_view id, label;
  std::optional<std::uint64_t> count;  // empty: the recorder did not have this counter
  DropCounters by;                     // the parts of `count` that belong to one event or one hook
};

// `where` is Where::host or Where::guest.
[[nodiscard]] std::vector<LossRow> loss_rows(const Side& side, Where where);

// "lost on the host: 3 failed reserves (rx_inject 3), 0 recursion misses, ..."; a line for each side that has
// rows.
[[nodiscard]] std::string format_losses(const std::vector<LossRow>& host, const std::vector<LossRow>& guest);
// An array of {"side","counter","count","by"}.
[[nodiscard]] nlohmann::json losses_json(const std::vector<LossRow>& host, const std::vector<LossRow>& guest);

}  // namespace glassbox::trace
