// Checks what must hold for the report of any trace, however hostile its records.
#pragma once

#include "tests/fuzz/fuzz.h"
#include "tools/trace/report/report.h"
#include "tools/trace/report/waterfall.h"

namespace glassbox::fuzz {

inline void insist_printable(const std::string& text) {
  for (const char c : text)
    insist(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f),
           "a control character is printed");
}

inline void check_report(const trace::Trace& trace) {
  const trace::Report report = trace::make_report(trace);
  insist_printable(trace::format_table(report));
  // dump() throws if a string is not UTF-8, unless such bytes are replaced, as the program does.
  (void)trace::to_json(report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  const trace::Attribution a = trace::attribute(trace, trace::derive_clock(trace));
  for (std::size_t k = 0; k < a.cycles.size(); ++k)
    insist_printable(trace::format_waterfall(a.cycles[k], k + 1));
}

}  // namespace glassbox::fuzz
