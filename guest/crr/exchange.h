// The TCP exchanges that gb-crr times, over blocking sockets with TCP_NODELAY. gb-echo is the server of each.
//
//   crr         socket(), connect(), send the payload, receive it back, close()
//   rr          send the payload and receive it back, on a connection that stays open
//   stream-out  connect(), send `bytes`, half-close, receive one byte once the server has all of them
//   stream-in   connect(), send one byte, receive `bytes` up to the end of file
//
// Thread: each flow runs on the thread that calls run_flow(); flows share nothing.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

namespace glassbox::crr {

enum class Mode { kCrr, kRr, kStreamOut, kStreamIn };

// Whom to connect to, what to exchange, and how often.
struct ExchangeSpec {
  sockaddr_storage peer{};  // IPv4 or IPv6
  socklen_t peer_bytes = 0;
  Mode mode = Mode::kCrr;
  long cycles = 0;   // of all flows together
  long payload = 1;  // bytes, of crr and rr
  long bytes = 0;    // of a stream
  long flows = 1;    // at the same time, each on a thread of its own
  long rate = 0;     // cycles due per second and flow; 0: each begins when the last has ended
};

struct Cycle {
  std::uint64_t start_ns;  // CLOCK_MONOTONIC; with a rate, when the cycle was due
  std::uint64_t duration_ns;
};

struct Flow {
  std::vector<Cycle> cycles;  // the successful ones, in order
  long failed = 0;
  std::string first_error;  // "cycle <index>: <call>: <reason>"; empty if none failed
};

// Runs `cycles` exchanges one after the other on the calling thread. A failed cycle is counted and the next
// one begins; if the standing connection of rr cannot be opened, all fail.
[[nodiscard]] Flow run_flow(const ExchangeSpec& spec, long cycles);

}  // namespace glassbox::crr
