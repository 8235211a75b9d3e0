// delay-crr: TCP connect-request-response-close cycles, one after the other, in one process.
//
//   delay-crr HOST PORT --cycles N [--payload BYTES] [--reply BYTES]
//
// A cycle: socket(), connect(), send BYTES (default 1), receive the same number (or --reply BYTES), close().
// Blocking sockets, TCP_NODELAY. It is timed with CLOCK_MONOTONIC from just before socket() to just after
// close(). Nothing is printed until all cycles are done, then one JSON object:
//
//   {"cycles":N,"failed":F,"payload_bytes":B,"first_error":"...","cycle_ns":[[start,duration],...]}
//
// cycle_ns holds the successful cycles in order. Exit status: 0; 1 if a cycle failed; 2 usage. HOST is an
// IPv4 address: a name lookup would add its time to the first cycle.
//
// Every second cycle (--delay-every K: every Kth) can be delayed in one place. "delay_ns" then lists the
// measured delay of each cycle:
//   --before-connect US, --before-send US, --before-close US   a sleep
//   --fat MIB         each cycle forks and executes a child; a delayed one from a process of that size.
//                     delay_ns is the time from fork() to the child's main(), in all cycles
//   --lose-syn IFACE  the first SYN is lost before the driver; delay_ns is connect()'s time in all cycles
// --step: a byte on stdin starts each cycle, and a line on stdout marks its end, so that another process can
// make the delay. --stamps adds "stamps_ns": [connected, sent, first byte, received] of each cycle.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "tests/delays/crr/cycle.h"
#include "tests/delays/crr/forked_cycle.h"
#include "tests/delays/crr/syn_loss.h"
#include "vmm/base/clock.h"

namespace glassbox::delays::crr {
namespace {

struct Results {
  std::vector<Cycle> cycles;
  long failures = 0;
  std::string first_error;
};

bool wait_for_step() {
  char byte = 0;
  return ::read(STDIN_FILENO, &byte, 1) == 1;
}

Results run(const Options& options, char** argv) {
  Results out;
  out.cycles.reserve(static_cast<std::size_t>(options.cycles));
  std::vector<char> buffer(static_cast<std::size_t>(std::max(options.payload, options.reply)), 'A');
  std::optional<SynLoss> loss;
  if (options.lose_syn != nullptr) loss.emplace(options.lose_syn);
  std::optional<LargeParent> large_parent;
  if (options.fat_mib > 0) large_parent.emplace(static_cast<std::size_t>(options.fat_mib) << 20, argv);
  for (long i = 0; i < options.cycles; ++i) {
    const bool delayed = options.is_delayed(i);
    if (options.step && !wait_for_step()) break;
    Cycle cycle;
    const char* failed = nullptr;
    if (large_parent)
      failed = delayed ? large_parent->run_forked_cycle(cycle) : run_forked_cycle(argv, cycle);
    else
      failed = run_cycle(options, delayed, buffer, loss ? &*loss : nullptr, cycle);
    if (failed == nullptr)
      out.cycles.push_back(cycle);
    else if (out.failures++ == 0)
      out.first_error = "cycle " + std::to_string(i) + ": " + failed + ": " + std::strerror(errno);
    if (options.step) (void)!::write(STDOUT_FILENO, "\n", 1);
  }
  return out;
}

template <typename Print>
void print_list(const char* name, const std::vector<Cycle>& cycles, Print&& print) {
  std::printf(",\"%s\":[", name);
  for (std::size_t i = 0; i < cycles.size(); ++i) {
    if (i > 0) std::putchar(',');
    print(cycles[i]);
  }
  std::putchar(']');
}

void print(const Options& options, const Results& out) {
  std::printf("{\"cycles\":%ld,\"failed\":%ld,\"payload_bytes\":%ld,\"first_error\":\"%s\"", options.cycles,
              out.failures, options.payload, out.first_error.c_str());
  print_list("cycle_ns", out.cycles,
             [](const Cycle& c) { std::printf("[%" PRIu64 ",%" PRIu64 "]", c.start_ns, c.duration_ns); });
  if (options.delays())
    print_list("delay_ns", out.cycles, [](const Cycle& c) { std::printf("%" PRIu64, c.delay_ns); });
  if (options.stamps)
    print_list("stamps_ns", out.cycles, [](const Cycle& c) {
      std::printf("[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", c.connected_ns, c.sent_ns,
                  c.first_byte_ns, c.received_ns);
    });
  std::puts("}");
}

}  // namespace
}  // namespace glassbox::delays::crr

int main(int argc, char** argv) {
  using namespace glassbox::delays::crr;
  const std::uint64_t main_ns = glassbox::monotonic_ns();
  Options options;
  if (!parse(argc, argv, options)) {
    std::fputs(
        "usage: delay-crr IPV4-ADDRESS PORT --cycles N [--payload BYTES] [--reply BYTES] [--step] "
        "[--stamps]\n"
        "  [--delay-every K] [--before-connect US] [--before-send US] [--before-close US] [--fat MIB]\n"
        "  [--lose-syn IFACE]\n",
        stderr);
    return 2;
  }
  if (options.report_fd >= 0) report_start(options, main_ns);
  const Results out = run(options, argv);
  if (options.report_fd < 0) print(options, out);
  if (out.failures > 0)
    std::fprintf(stderr, "delay-crr: %ld of %ld cycles failed; %s\n", out.failures, options.cycles,
                 out.first_error.c_str());
  return out.failures > 0 ? 1 : 0;
}
