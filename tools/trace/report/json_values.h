// Figures as JSON values: a figure that may not be stated is null, never absent.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

namespace glassbox::trace {

[[nodiscard]] inline nlohmann::json json_us(std::optional<std::int64_t> ns) {
  return ns ? nlohmann::json(static_cast<double>(*ns) / 1e3) : nlohmann::json();
}

[[nodiscard]] inline nlohmann::json json_number(std::optional<double> value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

}  // namespace glassbox::trace
