#include "tools/bench/net/targets.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "vmm/base/result.h"

namespace glassbox::bench {
namespace {

using nlohmann::json;
using Figure = std::optional<double>;

constexpr std::array<const char*, 2> kPeers = {"pasta", "slirp4netns"};
constexpr const char* kOff = "netns-off";
constexpr const char* kDefault = "netns-adaptive";

class Reader {
 public:
  explicit Reader(const json& result) : result_(result) {}

  [[nodiscard]] Figure at(const std::string& stack, const std::string& pointer) const {
    const json* row = find(stack);
    if (row == nullptr) return std::nullopt;
    const json value = row->value(json::json_pointer(pointer), json());
    return value.is_number() ? Figure(value.get<double>()) : std::nullopt;
  }
  // Of an array of objects, the figure of the one whose keys have these values.
  [[nodiscard]] Figure in(const std::string& stack, const char* array, const json& keys,
                          const char* figure) const {
    const json* row = find(stack);
    if (row == nullptr) return std::nullopt;
    for (const json& one : row->value(array, json::array())) {
      const bool all = std::all_of(keys.items().begin(), keys.items().end(), [&](const auto& key) {
        return one.value(key.key(), json()) == key.value();
      });
      if (all && one.value(figure, json()).is_number()) return one[figure].get<double>();
    }
    return std::nullopt;
  }

 private:
  [[nodiscard]] const json* find(const std::string& stack) const {
    for (const json& row : result_["stacks"]) {
      if (row["stack"] == stack) return &row;
    }
    return nullptr;
  }
  const json& result_;
};

Figure ratio(Figure of, Figure to) {
  return of && to && *to > 0 ? Figure(*of / *to) : std::nullopt;
}

// The better of the peers, by `better`; both must have a figure, or the comparison is with whoever came.
template <typename Get, typename Better>
Figure better_peer(const Get& get, const Better& better) {
  Figure best;
  for (const char* peer : kPeers) {
    const Figure one = get(peer);
    if (one && (!best || better(*one, *best))) best = one;
  }
  return best;
}

class Targets {
 public:
  // What the targets that follow are about: an exchange on one of our stacks that a run can repeat.
  void about(json subject) { subject_ = std::move(subject); }
  void at_most(const std::string& target, Figure measured, double limit, const char* unit) {
    add(target, measured, limit, unit, measured && *measured <= limit);
  }
  void at_least(const std::string& target, Figure measured, double limit, const char* unit) {
    add(target, measured, limit, unit, measured && *measured >= limit);
  }
  json take() { return std::move(list_); }

 private:
  void add(const std::string& target, Figure measured, double limit, const char* unit, bool met) {
    list_.push_back({{"target", target},
                     {"measured", measured ? json(*measured) : json()},
                     {"limit", limit},
                     {"unit", unit},
                     {"verdict", !measured ? "not measured"
                                 : met     ? "met"
                                           : "missed"}});
    if (!subject_.is_null()) list_.back()["subject"] = subject_;
  }
  json subject_;
  json list_ = json::array();
};

void latencies(const Reader& read, Targets& out) {
  const auto p50 = [&](const char* stack, const char* what) {
    return read.at(stack, fmt::format("/{}/p50_us", what));
  };
  const auto peer = [&](const char* what) {
    return better_peer([&](const char* stack) { return p50(stack, what); }, std::less<>());
  };
  out.about({{"stack", kOff}, {"exchange", "crr"}});
  out.at_most("system calls a CRR, --poll off", read.at(kOff, "/system_calls_per_crr"), 24, "");
  out.at_most("CRR p50, --poll off / better peer", ratio(p50(kOff, "crr"), peer("crr")), 0.85, "x");
  out.at_most("CRR p50, --poll off / bare", ratio(p50(kOff, "crr"), p50("bare", "crr")), 1.1, "x");
  out.about({{"stack", kDefault}, {"exchange", "crr"}});
  out.at_most("CRR p50, adaptive / better peer", ratio(p50(kDefault, "crr"), peer("crr")), 0.6, "x");
  out.at_most("CRR p50, adaptive / bare spinning", ratio(p50(kDefault, "crr"), p50("bare-spin", "crr")), 1.1,
              "x");
  out.about({{"stack", kOff}, {"exchange", "rr"}});
  out.at_most("RR p50, --poll off / better peer", ratio(p50(kOff, "rr"), peer("rr")), 1.0, "x");
  out.about({{"stack", kDefault}, {"exchange", "rr"}});
  out.at_most("RR p50, adaptive / better peer", ratio(p50(kDefault, "rr"), peer("rr")), 0.45, "x");
}

void streams(const Reader& read, Targets& out) {
  for (const int mtu : {1500, 65520}) {
    for (const char* direction : {"out", "in"}) {
      const auto gbps = [&](const char* stack) {
        return read.in(stack, "streams", {{"mtu", mtu}, {"direction", direction}}, "gbps_median");
      };
      const Figure ours = gbps(kDefault);
      const bool is_out = direction == std::string("out");
      const std::string what = fmt::format("stream {}, MTU {}", direction, mtu);
      out.about({{"stack", kDefault}, {"exchange", fmt::format("stream-{}", direction)}, {"mtu", mtu}});
      out.at_least(what + " / better peer", ratio(ours, better_peer(gbps, std::greater<>())),
                   is_out ? 1.5 : 1.1, "x");
      if (is_out) out.at_least(what + " / relay", ratio(ours, gbps("relay")), 0.8, "x");
    }
  }
}

void flows(const Reader& read, Targets& out) {
  for (const int flows : {1, 8, 64}) {
    const auto rate = [&](const char* stack) {
      return read.in(stack, "parallel", {{"flows", flows}}, "crr_per_s_median");
    };
    out.about({{"stack", kDefault}, {"exchange", "crr"}, {"flows", flows}});
    out.at_least(fmt::format("CRR/s, {} parallel flows / better peer", flows),
                 ratio(rate(kDefault), better_peer(rate, std::greater<>())), 1.0, "x");
  }
  out.about(nullptr);
  out.at_most("10,000 idle flows: of a core", read.at(kDefault, "/idle/cpu_percent"), 1, "%");
  const Figure kib = read.at(kDefault, "/idle/resident_kib");
  out.at_most("10,000 idle flows: resident", kib ? Figure(*kib / 1024) : std::nullopt, 40, "MiB");
  out.about({{"stack", kDefault}, {"exchange", "crr"}, {"idle_flows", 10'000}});
  out.at_most("10,000 idle flows: CRR p50 / unloaded",
              ratio(read.at(kDefault, "/idle/crr_p50_us"), read.at(kDefault, "/idle/unloaded_crr_p50_us")),
              1.1, "x");
  out.about(nullptr);
  out.at_most("half-closed flows: wake-ups a second", read.at(kDefault, "/idle/half_closed_wakeups_per_s"), 2,
              "");
}

}  // namespace

json net_targets(const json& result) {
  const Reader read(result);
  Targets out;
  latencies(read, out);
  streams(read, out);
  flows(read, out);
  return out.take();
}

}  // namespace glassbox::bench
