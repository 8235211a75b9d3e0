// What bench_net says: a table for the reader and JSON for programs. Pure, apart from describe_machine().
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/bench/net/measure.h"

namespace glassbox::bench {

// Kernel, processor, load averages now, date.
[[nodiscard]] nlohmann::json describe_machine();

[[nodiscard]] nlohmann::json net_json(const NetSpec& spec, const nlohmann::json& machine,
                                      const std::vector<NetRow>& rows);
[[nodiscard]] std::string net_table(const nlohmann::json& machine, const std::vector<NetRow>& rows);

// The better p50 of pasta and slirp4netns; empty where neither has one.
[[nodiscard]] std::optional<double> better_peer_us(const std::vector<NetRow>& rows, bool crr);

[[nodiscard]] double median(std::vector<double> values);

}  // namespace glassbox::bench
