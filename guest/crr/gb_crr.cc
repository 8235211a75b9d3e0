// gb-crr: times TCP exchanges (exchange.h) and prints the times.
//
//   gb-crr HOST PORT --cycles N [--mode crr|rr|stream-out|stream-in] [--payload BYTES] [--bytes BYTES]
//                               [--flows N] [--rate N]
//
// A cycle is timed with CLOCK_MONOTONIC from its first system call to its last. --flows divides the N cycles
// among that many threads. With --rate, that many cycles of each flow are due every second, whether or not
// the last one has ended, and each is timed from when it was due. Nothing is printed while cycles run; then
// one JSON object is:
//
//   {"mode":"crr","cycles":N,"failed":F,"payload_bytes":B,"flows":1,"rate":0,"wall_ns":W,"first_error":"...",
//    "cycle_ns":[[start,duration],...]}
//
// cycle_ns has the successful cycles, flow by flow, in order. Exit status: 0; 1 if a cycle failed; 2 for
// wrong arguments. HOST is an IPv4 or IPv6 address, not a name: the lookup would be timed with the first
// cycle.
#include <arpa/inet.h>

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>

#include "guest/crr/exchange.h"
#include "vmm/base/clock.h"

namespace glassbox::crr {
namespace {

constexpr long kMaxCycles = 10'000'000;
constexpr long kMaxPayload = 1 << 20;
constexpr long kMaxBytes = 1L << 40;
constexpr long kMaxFlows = 64;
constexpr long kMaxRate = 1'000'000;

constexpr std::array<std::string_view, 4> kModes = {"crr", "rr", "stream-out", "stream-in"};

bool parse_number(const char* text, long low, long high, long& to) {
  char* end = nullptr;
  errno = 0;
  const long value = std::strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < low || value > high) return false;
  to = value;
  return true;
}

bool parse_mode(std::string_view text, Mode& to) {
  for (std::size_t i = 0; i < kModes.size(); ++i) {
    if (text != kModes.at(i)) continue;
    to = static_cast<Mode>(i);
    return true;
  }
  return false;
}

bool parse_option(std::string_view name, const char* value, ExchangeSpec& spec) {
  if (name == "--mode") return parse_mode(value, spec.mode);
  if (name == "--cycles") return parse_number(value, 1, kMaxCycles, spec.cycles);
  if (name == "--payload") return parse_number(value, 1, kMaxPayload, spec.payload);
  if (name == "--bytes") return parse_number(value, 1, kMaxBytes, spec.bytes);
  if (name == "--flows") return parse_number(value, 1, kMaxFlows, spec.flows);
  if (name == "--rate") return parse_number(value, 1, kMaxRate, spec.rate);
  return false;
}

template <typename Address>
void set_peer(const Address& address, ExchangeSpec& spec) {
  std::memcpy(&spec.peer, &address, sizeof(address));
  spec.peer_bytes = sizeof(address);
}

bool parse_peer(const char* host, const char* port_text, ExchangeSpec& spec) {
  long port = 0;
  if (!parse_number(port_text, 1, 65535, port)) return false;
  sockaddr_in four{};
  sockaddr_in6 six{};
  if (::inet_pton(AF_INET, host, &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = htons(static_cast<std::uint16_t>(port));
    set_peer(four, spec);
  } else if (::inet_pton(AF_INET6, host, &six.sin6_addr) == 1) {
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(static_cast<std::uint16_t>(port));
    set_peer(six, spec);
  }
  return spec.peer_bytes != 0;
}

bool parse(int argc, char** argv, ExchangeSpec& spec) {
  if (argc < 3 || !parse_peer(argv[1], argv[2], spec)) return false;
  for (int i = 3; i < argc; i += 2) {
    if (i + 1 >= argc || !parse_option(argv[i], argv[i + 1], spec)) return false;
  }
  const bool streams = spec.mode == Mode::kStreamOut || spec.mode == Mode::kStreamIn;
  return spec.cycles >= spec.flows && streams == (spec.bytes > 0);
}

std::vector<Flow> run_flows(const ExchangeSpec& spec) {
  std::vector<Flow> flows(static_cast<std::size_t>(spec.flows));
  std::vector<std::thread> threads;
  for (long i = 0; i < spec.flows; ++i) {
    const long share = spec.cycles / spec.flows + (i < spec.cycles % spec.flows ? 1 : 0);
    Flow& flow = flows[static_cast<std::size_t>(i)];
    if (spec.flows == 1) {
      flow = run_flow(spec, share);  // one flow needs no thread
    } else {
      threads.emplace_back([&flow, &spec, share] { flow = run_flow(spec, share); });
    }
  }
  for (std::thread& thread : threads)
    thread.join();
  return flows;
}

int run(const ExchangeSpec& spec) {
  const std::uint64_t begin_ns = monotonic_ns();
  const std::vector<Flow> flows = run_flows(spec);
  const std::uint64_t wall_ns = monotonic_ns() - begin_ns;
  long failed = 0;
  std::string first_error;
  for (const Flow& flow : flows) {
    failed += flow.failed;
    if (first_error.empty()) first_error = flow.first_error;
  }
  std::printf(
      "{\"mode\":\"%s\",\"cycles\":%ld,\"failed\":%ld,\"payload_bytes\":%ld,\"flows\":%ld,\"rate\":%ld,"
      "\"wall_ns\":%" PRIu64 ",\"first_error\":\"%s\",\"cycle_ns\":[",
      kModes.at(static_cast<std::size_t>(spec.mode)).data(), spec.cycles, failed, spec.payload, spec.flows,
      spec.rate, wall_ns, first_error.c_str());
  bool first = true;
  for (const Flow& flow : flows) {
    for (const Cycle& cycle : flow.cycles) {
      std::printf("%s[%" PRIu64 ",%" PRIu64 "]", first ? "" : ",", cycle.start_ns, cycle.duration_ns);
      first = false;
    }
  }
  std::puts("]}");
  if (failed > 0) {
    std::fprintf(stderr, "gb-crr: %ld of %ld cycles failed; %s\n", failed, spec.cycles, first_error.c_str());
  }
  return failed > 0 ? 1 : 0;
}

}  // namespace
}  // namespace glassbox::crr

int main(int argc, char** argv) {
  glassbox::crr::ExchangeSpec spec;
  if (!glassbox::crr::parse(argc, argv, spec)) {
    std::fputs(
        "usage: gb-crr ADDRESS PORT --cycles N [--mode crr|rr|stream-out|stream-in] [--payload BYTES]\n"
        "              [--bytes BYTES (of a stream)] [--flows N] [--rate N]\n",
        stderr);
    return 2;
  }
  return glassbox::crr::run(spec);
}
