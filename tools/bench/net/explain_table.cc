// What explain.cc found, for the reader.
#include "tools/bench/net/explain.h"

namespace glassbox::bench {
namespace {

using nlohmann::json;

double number(const json& object, const char* key) {
  const json value = object.is_object() ? object.value(key, json()) : json();
  return value.is_number() ? value.get<double>() : 0;
}

std::string heading(const json& one) {
  const json& subject = one["subject"];
  std::string out = fmt::format("\n{} on {}", subject.value("exchange", "?"), subject.value("stack", "?"));
  for (const auto& [key, what] :
       {std::pair{"mtu", "MTU {}"}, {"flows", "{} flows at once"}, {"idle_flows", "beside {} idle flows"}}) {
    if (subject.contains(key)) out += ", " + fmt::format(fmt::runtime(what), subject[key].get<int>());
  }
  out += " (for";
  const char* separator = ": ";
  for (const json& target : one["targets"]) {
    out += separator + target.get<std::string>();
    separator = "; ";
  }
  return out + ")\n";
}

std::string shares(const json& found) {
  const std::string unit = found.value("unit", "unit");
  std::string out = fmt::format("  untraced, {:.0f} times one {}: {:.1f} us each\n", number(found, "n"), unit,
                                number(found, "us_a_unit"));
  for (const json& who : found.value("who", json::array())) {
    out += fmt::format("    {:<7} running {:>3.0f} %, without a core {:>3.0f} %, blocked {:>3.0f} %\n",
                       who.value("who", "?"), 100 * number(who, "running"), 100 * number(who, "runnable"),
                       100 * number(who, "blocked"));
  }
  out += fmt::format("    frames per {}: {:.1f} to the NAT ({:.0f} bytes each), {:.1f} from it\n", unit,
                     number(found, "frames_to_nat"), number(found, "bytes_a_frame_to_nat"),
                     number(found, "frames_from_nat"));
  return out;
}

std::string calls(const json& found) {
  if (found.contains("calls_missing")) {
    return fmt::format("    system calls: not counted: {}\n", found["calls_missing"].get<std::string>());
  }
  double total = 0;
  std::string names;
  const json counted = found.value("calls", json::object());
  for (const auto& [name, each] : counted.items()) {
    total += each.get<double>();
    if (each.get<double>() >= 0.05)
      names += fmt::format("{} {} {:.1f}", names.empty() ? ":" : ",", name, each.get<double>());
  }
  return fmt::format("    system calls of the NAT per {}: {:.1f}{}\n", found.value("unit", "unit"), total,
                     names);
}

std::string trace(const json& found) {
  if (found.contains("trace_missing")) {
    return fmt::format("  not traced: {}\n", found["trace_missing"].get<std::string>());
  }
  if (!found.contains("trace")) return {};
  const json& trace = found["trace"];
  std::string out = fmt::format(
      "  traced: p50 {:.1f} us, {:.0f} % of it the probes' own cost, {:.1f} % unattributed; largest "
      "segments,\n"
      "  and the mean of what the thread that had to act did, in us\n"
      "    {:<46} {:>6} {:>8} {:>8} {:>8} {:>8}\n",
      number(trace, "p50_us"), 100 * number(trace, "probes_share"), 100 * number(trace, "unattributed_share"),
      "", "share", "p50 us", "running", "no core", "blocked");
  for (const json& segment : trace["segments"]) {
    const json& states = segment["states"];
    const auto state = [&](const char* key) {
      return states.is_object() ? fmt::format("{:.1f}", number(states, key)) : std::string("-");
    };
    out += fmt::format("    {:<5} {:<40} {:>4.0f} % {:>8.1f} {:>8} {:>8} {:>8}\n", segment.value("side", ""),
                       segment.value("label", ""), 100 * number(segment, "share"), number(segment, "p50_us"),
                       state("running_us"), state("runnable_us"), state("blocked_us"));
  }
  for (const json& verdict : trace["confirmed"]) {
    out += fmt::format("    confirmed: {}: {}\n", verdict["claim"].get<std::string>(),
                       verdict["evidence"].is_string() ? verdict["evidence"].get<std::string>() : "");
  }
  return out;
}

}  // namespace

std::string explanation_table(const json& explanations) {
  if (explanations.empty()) return {};
  std::string out = "\nWhere the time goes of what missed its target\n";
  for (const json& one : explanations) {
    out += heading(one);
    const json& found = one["found"];
    if (found.contains("missing")) {
      out += fmt::format("  not found out: {}\n", found["missing"].get<std::string>());
      continue;
    }
    out += shares(found) + calls(found) + trace(found);
  }
  return out;
}

}  // namespace glassbox::bench
