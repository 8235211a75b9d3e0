#include "tools/trace/text/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace glassbox::trace {

std::string printable(std::string_view text) {
  std::string out(text);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return out;
}

std::string format_time(std::optional<std::int64_t> ns) {
  if (!ns) return "-";
  const double us = static_cast<double>(*ns) / 1e3;
  const auto digits = [](double value) { return value < 9.995 ? 2 : value < 99.95 ? 1 : 0; };
  if (us < 999.5) return fmt::format("{:.{}f} us", us, digits(us));
  const double ms = us / 1e3;
  if (ms < 999.5) return fmt::format("{:.{}f} ms", ms, digits(ms));
  return fmt::format("{:.{}f} s", ms / 1e3, digits(ms / 1e3));
}

std::string format_signed_time(std::int64_t ns) {
  return (ns < 0 ? "-" : "+") + format_time(std::abs(ns));
}

std::string format_share(std::optional<double> share) {
  return share ? fmt::format("{:.1f} %", *share * 100) : "-";
}

std::int64_t whole_ns(double ns) {
  constexpr double kMost = 9e18;
  return static_cast<std::int64_t>(std::clamp(ns, -kMost, kMost));
}

}  // namespace glassbox::trace
