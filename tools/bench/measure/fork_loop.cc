#include "tools/bench/measure/fork_loop.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

namespace glassbox::bench {
namespace {

// Arguments: host, port, cycles, request. Prints "cycle T0 T1 STATUS" lines and "replies BYTES".
constexpr std::string_view kForkScript = R"sh(
d=$(mktemp -d "${TMPDIR:-/tmp}/crr.XXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
trap 'exit 143' TERM INT HUP
exec 3>"$d/times" 4>"$d/replies"
i=0
while [ "$i" -lt "$3" ]; do
  t0=$EPOCHREALTIME
  printf "$4" | nc "$1" "$2" >&4
  s=$? t1=$EPOCHREALTIME
  echo "cycle $t0 $t1 $s" >&3
  i=$((i + 1))
done
cat "$d/times"
echo "replies $(cat "$d/replies")"
)sh";

// "1795520724.554019" in nanoseconds; the fraction has up to nine digits.
std::optional<std::uint64_t> parse_seconds(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos || text.size() - dot - 1 > 9 || text.size() - dot < 2)
    return std::nullopt;
  std::string digits(text.substr(0, dot));
  digits += text.substr(dot + 1);
  digits.append(9 - (text.size() - dot - 1), '0');
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace

std::vector<std::string> fork_loop_arguments(const std::string& host, std::uint16_t port,
                                             std::uint32_t cycles, std::uint32_t payload) {
  return {"-c",
          std::string(kForkScript),
          "crr",
          host,
          std::to_string(port),
          std::to_string(cycles),
          std::string(payload, 'A')};
}

Result<std::vector<std::uint64_t>> parse_fork_loop(std::string_view output, std::uint32_t cycles,
                                                   std::uint32_t payload) {
  std::vector<std::uint64_t> times;
  std::uint64_t last = 0;
  std::size_t replies = 0;
  bool ended = false;
  std::istringstream lines{std::string(output)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string word, t0, t1;
    int status = 0;
    fields >> word;
    if (word == "replies") {
      std::string bytes;
      fields >> bytes;
      if (bytes.find_first_not_of('A') != std::string::npos)
        return fail("the server's reply was not the request");
      replies = bytes.size();
      ended = true;
      continue;
    }
    if (word != "cycle") continue;
    if (!(fields >> t0 >> t1 >> status)) return fail("cycle {}: cannot read \"{}\"", times.size() + 1, line);
    if (status != 0) return fail("cycle {} failed: nc exited {}", times.size() + 1, status);
    const auto begin = parse_seconds(t0);
    const auto end = parse_seconds(t1);
    if (!begin || !end) return fail("cycle {}: times \"{} {}\"", times.size() + 1, t0, t1);
    // CLOCK_REALTIME, which may be set: see clock_steps.h for a step that leaves the order as it is.
    if (*end < *begin || *begin < last)
      return fail("cycle {}: the client's clock went backwards, times \"{} {}\"", times.size() + 1, t0, t1);
    last = *end;
    times.push_back(*end - *begin);
  }
  if (!ended || times.size() != cycles) {
    return fail("the client printed {} of {} cycles{}", times.size(), cycles,
                ended ? "" : " and did not end");
  }
  replies /= payload;
  if (replies != cycles)
    return fail("{} of {} cycles got no reply", cycles - std::min<std::size_t>(replies, cycles), cycles);
  return times;
}

}  // namespace glassbox::bench
