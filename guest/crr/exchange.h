// The exchanges that gb-crr times, over plain blocking sockets with TCP_NODELAY. The server of each is
// gb-echo.
//
//   crr         socket(), connect(), the payload there and back, close()
//   rr          the payload there and back on a connection that stays
//   stream-out  connect(), `bytes` to the server, half-close, one byte back once all has arrived
//   stream-in   connect(), one byte, `bytes` from the server to its end of file
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

namespace glassbox::crr {

enum class Mode { kCrr, kRr, kStreamOut, kStreamIn };

struct Options {
  sockaddr_storage peer{};  // of either family
  socklen_t peer_bytes = 0;
  Mode mode = Mode::kCrr;
  long cycles = 0;  // of all flows together
  long payload = 1;
  long bytes = 0;  // of a stream
  long flows = 1;  // at the same time, each in a thread of its own
  long rate = 0;   // cycles a second of a flow on a schedule; 0: each when the last is over
};

struct Cycle {
  std::uint64_t start_ns;  // with a rate: when it was due
  std::uint64_t duration_ns;
};

struct Flow {
  std::vector<Cycle> cycles;  // those that succeeded
  long failed = 0;
  std::string first_error;
};

[[nodiscard]] std::uint64_t monotonic_ns();

// `cycles` exchanges one after the other on the calling thread.
[[nodiscard]] Flow run_flow(const Options& options, long cycles);

}  // namespace glassbox::crr
