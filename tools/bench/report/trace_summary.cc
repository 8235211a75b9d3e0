#include "tools/bench/report/trace_summary.h"

#include <algorithm>
#include <vector>

namespace glassbox::bench {
namespace {

using nlohmann::json;

constexpr std::size_t kSegments = 8;

double share_of(const json& segment) {
  const json share = segment.value("share", json());
  return share.is_number() ? share.get<double>() : 0;
}

}  // namespace

json summary_of_trace(const json& report) {
  std::vector<json> segments;
  for (const json& segment : report.value("segments", json::array())) {
    if (share_of(segment) > 0) segments.push_back(segment);
  }
  std::stable_sort(segments.begin(), segments.end(),
                   [](const json& a, const json& b) { return share_of(a) > share_of(b); });
  if (segments.size() > kSegments) segments.resize(kSegments);
  json out = {
      {"p50_us", report.value(json::json_pointer("/total/p50_us"), json())},
      {"untraced_p50_us", report.value(json::json_pointer("/probe_tax/compared/untraced_p50_us"), json())},
      {"probes_share", report.value(json::json_pointer("/probe_tax/share"), json())},
      {"unattributed_share", report.value("unattributed_share", json())},
      {"segments", json::array()},
      {"confirmed", json::array()}};
  for (const json& segment : segments) {
    json one;
    for (const char* key : {"side", "label", "p50_us", "share", "states"})
      one[key] = segment.value(key, json());
    out["segments"].push_back(std::move(one));
  }
  for (const json& verdict : report.value("verdicts", json::array())) {
    if (verdict.value("outcome", "") != "confirmed") continue;
    out["confirmed"].push_back(
        {{"claim", verdict["claim"]}, {"evidence", verdict.value("evidence", json())}});
  }
  return out;
}

}  // namespace glassbox::bench
