#include "tests/delays/crr/options.h"

#include <arpa/inet.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

namespace glassbox::delays::crr {
namespace {

constexpr long kMaxCycles = 10'000'000;
constexpr long kMaxPayload = 1 << 20;
constexpr long kMaxSleepUs = 60'000'000;
constexpr long kMaxFatMib = 1 << 20;

bool parse_number(const char* text, long low, long high, long& to) {
  char* end = nullptr;
  errno = 0;
  const long value = std::strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < low || value > high) return false;
  to = value;
  return true;
}

struct NumberOption {
  std::string_view name;
  long low, high;
  long Options::*to;
};
constexpr NumberOption kNumbers[] = {
    {"--cycles", 1, kMaxCycles, &Options::cycles},
    {"--payload", 1, kMaxPayload, &Options::payload},
    {"--reply", 1, kMaxPayload, &Options::reply},
    {"--delay-every", 1, kMaxCycles, &Options::every},
    {"--before-connect", 0, kMaxSleepUs, &Options::before_connect_us},
    {"--before-send", 0, kMaxSleepUs, &Options::before_send_us},
    {"--before-close", 0, kMaxSleepUs, &Options::before_close_us},
    {"--fat", 1, kMaxFatMib, &Options::fat_mib},
    {"--forked-at", 1, INT64_MAX, &Options::forked_at_ns},
};

bool parse_option(std::string_view name, const char* value, Options& options) {
  if (name == "--lose-syn") {
    options.lose_syn = value;
    return true;
  }
  long number = 0;
  if (name == "--report-fd") {
    if (!parse_number(value, 0, 1 << 20, number)) return false;
    options.report_fd = static_cast<int>(number);
    return true;
  }
  for (const NumberOption& option : kNumbers)
    if (option.name == name) return parse_number(value, option.low, option.high, options.*option.to);
  return false;
}

}  // namespace

bool parse(int argc, char** argv, Options& options) {
  if (argc < 3) return false;
  long port = 0;
  options.peer.sin_family = AF_INET;
  if (::inet_pton(AF_INET, argv[1], &options.peer.sin_addr) != 1 || !parse_number(argv[2], 1, 65535, port)) {
    return false;
  }
  options.peer.sin_port = htons(static_cast<std::uint16_t>(port));
  for (int i = 3; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--step") {
      options.step = true;
    } else if (name == "--stamps") {
      options.stamps = true;
    } else if (++i >= argc || !parse_option(name, argv[i], options)) {
      return false;
    }
  }
  return options.cycles > 0;
}

}  // namespace glassbox::delays::crr
