// The exchanges that are measured, both ends of them, over plain blocking sockets.
//
//   CRR         socket(), connect(), one byte there and back, close(); the server is gb-echo, which closes
//   first RR          one byte there and back on a connection that is open stream out  connect, `bytes` from
//   the client, half-close, one byte back when all has arrived stream in   connect, `bytes` from the server,
//   end of file
//
// The client times itself: CRR and RR a sample an exchange, a stream one sample from connect() to its end.
#pragma once

#include <cstdint>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench {

enum class Exchange : std::uint32_t { kCrr, kRr, kStreamOut, kStreamIn };

struct Order {
  Exchange what = Exchange::kCrr;
  std::uint32_t address = 0;  // IPv4, host order
  std::uint16_t port = 0;
  std::uint16_t unused = 0;
  std::uint32_t count = 1;  // exchanges
  std::uint64_t bytes = 0;  // of a stream
};

[[nodiscard]] Result<std::vector<std::uint64_t>> carry_out(const Order& order);

// A listening socket on the address, on a port of the kernel's choice.
[[nodiscard]] Result<UniqueFd> listen_on(std::uint32_t address);

// The server of RR and of streams, one connection after the other, for ever.
[[noreturn]] void serve_exchanges(int listener);

[[nodiscard]] std::uint64_t monotonic_ns();

}  // namespace glassbox::bench
