// Backend of bpf/probes.h for the build that measures what the probes replace: a trace line of spdlog at
// every site, "name argument argument...", as a program logs that has no probes.
#pragma once

#include <spdlog/spdlog.h>

#include <array>
#include <string_view>

namespace glassbox::probe {

// By number of arguments.
inline constexpr std::array<std::string_view, 10> kFormats = {"{}",
                                                              "{} {}",
                                                              "{} {} {}",
                                                              "{} {} {} {}",
                                                              "{} {} {} {} {}",
                                                              "{} {} {} {} {} {}",
                                                              "{} {} {} {} {} {} {}",
                                                              "{} {} {} {} {} {} {} {}",
                                                              "{} {} {} {} {} {} {} {} {}",
                                                              "{} {} {} {} {} {} {} {} {} {}"};

template <typename... Values>
[[gnu::always_inline]] inline void log_line(std::string_view name, Values... values) {
  spdlog::trace(fmt::runtime(kFormats[sizeof...(Values)]), name, values...);
}

}  // namespace glassbox::probe

#define GB_EMIT(name, ...) ::glassbox::probe::log_line(#name, __VA_ARGS__)
