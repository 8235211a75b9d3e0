// The two clients of a connect-request-response run, and what they print.
//
// Each cycle is timed by the client's own clock and nothing is printed before the last cycle is over. Every
// reply is checked: a run in which one cycle did not get its byte back has no figures.
//
// fork is the loop that this project comes from, in busybox sh: `printf A | nc HOST PORT`, $EPOCHREALTIME
// before and after. The loop adds no process of its own: times and replies go to two files that are open all
// along (in the guest's memory), so that a cycle costs the same whether it is the first or the last.
//
// Pure: builds argument vectors and parses text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/spec.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

struct ServerAddress {
  std::string host;  // as the client sees it
  std::uint16_t port = 0;
};

// The client's argv. `shell` starts a busybox shell ({"sh"} in the guest, {"busybox", "sh"} elsewhere),
// `single` is the path of gb-crr. `payload` is the bytes of a request (fork; gb-crr's are one).
[[nodiscard]] std::vector<std::string> client_command(WorkloadKind kind, const ServerAddress& target,
                                                      std::uint32_t cycles,
                                                      const std::vector<std::string>& shell,
                                                      const std::string& single, std::uint32_t payload = 1);

// The cycle times in the order they were run, nanoseconds. Fails where a cycle failed or is missing.
[[nodiscard]] Result<std::vector<std::uint64_t>> parse_client(WorkloadKind kind, std::string_view output,
                                                              std::uint32_t cycles,
                                                              std::uint32_t payload = 1);

}  // namespace glassbox::bench
