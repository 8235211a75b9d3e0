// The case that this project comes from, as `glassbox-bench crr --case accept-poll`.
//
// A published investigation measured 10 ms a cycle with a server that polls accept() with a sleep of 10 ms
// and a fresh `nc` per cycle, and concluded that the guest's fork and exec were the cause. Its server started
// its clock before the accept() that it polled, and took what that read for the cycle.
//
// The case runs that harness in one guest, with the server's clock and the client's own beside each other,
// and then what tells them apart: the same client against a server that blocks in accept(), and one process
// for all cycles against it. Each run is traced (on a stack with a VM), and the verdicts say what the poll's
// sleep and what fork and exec contribute.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/bench/measure/crr.h"
#include "tools/trace/report/report.h"

namespace glassbox::bench {

struct AcceptPollRun {
  CrrResult result;
  std::vector<std::uint64_t> server_ns;  // the server's own clock, of the same cycles
  std::optional<trace::Report> report;   // where it was traced
};

// `base` has the cycles, the stack and the guest; workload and server are the case's.
[[nodiscard]] Result<std::vector<AcceptPollRun>> run_accept_poll(const Spec& base, Watch& watch);

[[nodiscard]] std::string accept_poll_report(const std::vector<AcceptPollRun>& runs);
// ACCEPT-POLL.md says what is in it.
[[nodiscard]] nlohmann::json accept_poll_json(const std::vector<AcceptPollRun>& runs);

}  // namespace glassbox::bench
