// Figures as text: times, shares, and strings that come from a guest or from a file.
//
// The lowest room of the collector: every other may include it, and it includes none of them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace glassbox::trace {

// The width of the column of labels, the same in every table of segments.
inline constexpr int kLabelWidth = 44;

// `text` with every byte outside printable ASCII replaced by '?'. Whatever a guest or a file supplied passes
// through here before it reaches a terminal, so that it cannot carry escape sequences.
[[nodiscard]] std::string printable(std::string_view text);

// "8.51 ms", "71.0 us": three significant digits and a unit; "-" for a figure that may not be stated.
[[nodiscard]] std::string format_time(std::optional<std::int64_t> ns);
// The same with its sign: "+71.0 us". Zero is "+0.00 us".
[[nodiscard]] std::string format_signed_time(std::int64_t ns);

// "12.3 %" of a share between 0 and 1; "-" if there is none.
[[nodiscard]] std::string format_share(std::optional<double> share);

// Rounds towards zero and clamps to +-9e18: times that a guest reports may add up to more than 64 bits hold.
[[nodiscard]] std::int64_t whole_ns(double ns);

}  // namespace glassbox::trace
