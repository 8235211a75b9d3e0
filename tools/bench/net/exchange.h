// The exchanges that are measured, both ends of them, over plain blocking sockets.
//
//  - CRR: socket(), connect(), one byte there and back, close(); the server is gb-echo, which closes first.
//  - RR: one byte there and back on a connection that is open.
//  - Stream out: connect, `bytes` from the client, half-close, one byte back when all has arrived.
//  - Stream in: connect, `bytes` from the server, end of file.
//  - Parallel CRR: `count` CRR altogether by `flows` threads at once, over kParallelPorts servers.
//  - Hold: `count` connections, opened and kept.
//  - Half-closed: two connections, kept: one whose client ended its direction, one whose server did.
//  - Let go: closes what is kept.
//
// The client times itself: CRR and RR a sample an exchange, a stream one sample from connect() to its end,
// everything else one sample for the whole.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench {

enum class Exchange : std::uint32_t {
  kCrr,
  kRr,
  kStreamOut,
  kStreamIn,
  kParallelCrr,
  kHold,
  kHalfClosed,
  kLetGo
};

inline constexpr std::size_t kParallelPorts = 4;
// What a client tells the holding server: keep the connection though I end my direction; end yours.
inline constexpr char kOpKeep = 'K';
inline constexpr char kOpShut = 'S';

struct Order {
  Exchange what = Exchange::kCrr;
  std::uint32_t address = 0;  // IPv4, host order
  std::uint16_t port = 0;
  std::uint16_t flows = 1;  // at once
  std::uint32_t count = 1;  // exchanges
  std::uint64_t bytes = 0;  // of a stream
  std::array<std::uint16_t, kParallelPorts> ports{};
};

// The samples. held: the connections that are kept from one order to the next.
[[nodiscard]] Result<std::vector<std::uint64_t>> carry_out(const Order& order, std::vector<UniqueFd>& held);

// A listening socket on the address, on a port of the kernel's choice.
[[nodiscard]] Result<UniqueFd> listen_on(std::uint32_t address);

// The server of RR and of streams, one connection after the other, for ever.
[[noreturn]] void serve_exchanges(int listener);

[[nodiscard]] std::uint64_t monotonic_ns();

// As many open files as the hard limit allows.
void raise_descriptor_limit();

}  // namespace glassbox::bench
