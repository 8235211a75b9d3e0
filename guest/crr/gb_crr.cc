// gb-crr: TCP connect-request-response-close cycles, one after the other, in one process.
//
//   gb-crr HOST PORT --cycles N [--payload BYTES]
//
// A cycle: socket(), connect(), send BYTES (default 1), receive as many, close(). Blocking sockets,
// TCP_NODELAY. It is timed with CLOCK_MONOTONIC from just before socket() to just after close(). Nothing is
// printed until all cycles are done, then one JSON object:
//
//   {"cycles":N,"failed":F,"payload_bytes":B,"first_error":"...","cycle_ns":[[start,duration],...]}
//
// cycle_ns holds the successful cycles in order. Exit status: 0; 1 if a cycle failed; 2 usage. HOST is an
// IPv4 address: a resolver would bring its own time into the first cycle.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr long kMaxCycles = 10'000'000;
constexpr long kMaxPayload = 1 << 20;

struct Options {
  sockaddr_in peer{};
  long cycles = 0;
  long payload = 1;
};

struct Cycle {
  std::uint64_t start_ns;
  std::uint64_t duration_ns;
};

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

// The name of the call that failed, with errno set, or nullptr.
const char* exchange(int fd, std::vector<char>& buffer) {
  for (std::size_t sent = 0; sent < buffer.size();) {
    const ssize_t n = ::send(fd, buffer.data() + sent, buffer.size() - sent, MSG_NOSIGNAL);
    if (n < 0) return "send";
    sent += static_cast<std::size_t>(n);
  }
  for (std::size_t received = 0; received < buffer.size();) {
    const ssize_t n = ::recv(fd, buffer.data() + received, buffer.size() - received, 0);
    if (n == 0) errno = ECONNRESET;
    if (n <= 0) return "receive";
    received += static_cast<std::size_t>(n);
  }
  return nullptr;
}

const char* run_cycle(const Options& options, std::vector<char>& buffer) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return "socket";
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const char* failed = nullptr;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&options.peer), sizeof(options.peer)) < 0) {
    failed = "connect";
  } else {
    failed = exchange(fd, buffer);
  }
  const int errnum = errno;
  ::close(fd);
  errno = errnum;
  return failed;
}

bool parse_number(const char* text, long low, long high, long& to) {
  char* end = nullptr;
  errno = 0;
  const long value = std::strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < low || value > high) return false;
  to = value;
  return true;
}

bool parse(int argc, char** argv, Options& options) {
  if (argc < 3) return false;
  long port = 0;
  options.peer.sin_family = AF_INET;
  if (::inet_pton(AF_INET, argv[1], &options.peer.sin_addr) != 1 || !parse_number(argv[2], 1, 65535, port)) {
    return false;
  }
  options.peer.sin_port = htons(static_cast<std::uint16_t>(port));
  for (int i = 3; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 >= argc) return false;
    if (name == "--cycles") {
      if (!parse_number(argv[i + 1], 1, kMaxCycles, options.cycles)) return false;
    } else if (name == "--payload") {
      if (!parse_number(argv[i + 1], 1, kMaxPayload, options.payload)) return false;
    } else {
      return false;
    }
  }
  return options.cycles > 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fputs("usage: gb-crr IPV4-ADDRESS PORT --cycles N [--payload BYTES]\n", stderr);
    return 2;
  }
  std::vector<Cycle> cycles;
  cycles.reserve(static_cast<std::size_t>(options.cycles));
  std::vector<char> buffer(static_cast<std::size_t>(options.payload), 'A');
  std::string first_error;
  long failures = 0;
  for (long i = 0; i < options.cycles; ++i) {
    const std::uint64_t start_ns = monotonic_ns();
    const char* failed = run_cycle(options, buffer);
    const std::uint64_t end_ns = monotonic_ns();
    if (failed == nullptr) {
      cycles.push_back({start_ns, end_ns - start_ns});
    } else if (failures++ == 0) {
      first_error = "cycle " + std::to_string(i) + ": " + failed + ": " + std::strerror(errno);
    }
  }

  std::printf("{\"cycles\":%ld,\"failed\":%ld,\"payload_bytes\":%ld,\"first_error\":\"%s\",\"cycle_ns\":[",
              options.cycles, failures, options.payload, first_error.c_str());
  for (std::size_t i = 0; i < cycles.size(); ++i) {
    std::printf("%s[%" PRIu64 ",%" PRIu64 "]", i == 0 ? "" : ",", cycles[i].start_ns, cycles[i].duration_ns);
  }
  std::puts("]}");
  if (failures > 0)
    std::fprintf(stderr, "gb-crr: %ld of %ld cycles failed; %s\n", failures, options.cycles,
                 first_error.c_str());
  return failures > 0 ? 1 : 0;
}
