// The server every stack is measured against: one connection at a time, no threads, nothing between accept()
// and the reply but read and write. It serves one of
//
//   echo    read until `request_bytes` are there, write them back, close. Closing first is what ends a
//           `printf A | nc`, which waits for the server's end of file, and it leaves TIME_WAIT with the
//           server, whose port a new connection may take over; on the connecting side it would use up local
//           ports.
//   keep    the same again and again, until the client closes
//   sink    read to the end of file, then write one byte
//   source  read one byte, write `stream_bytes`, close
//
// poll_ms > 0 makes it the server of the poll workload: accept() does not block, and when nobody waits the
// server sleeps that long before it tries again. The sleep then lands in the client's cycle, and a trace has
// to say so.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "net/address_text.h"
#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench {

enum class Service { kEcho, kKeep, kSink, kSource };

struct EchoOptions {
  Service service = Service::kEcho;
  std::uint64_t stream_bytes = 0;  // of source
  std::uint32_t poll_ms = 0;       // 0: accept() blocks
  std::size_t request_bytes = 1;
  // Where each connection's time goes, as one u64 of nanoseconds: from before the accept() that looked for it
  // first to after its reply. That is the clock of a server that takes what it waits for clients for what a
  // cycle takes; -1: nowhere.
  int times_fd = -1;
};

inline constexpr std::size_t kMaxRequestBytes = 64 * 1024;

// Port 0 takes a free one. The error says which port is taken.
[[nodiscard]] Result<UniqueFd> listen_on(const net::Endpoint& endpoint);
[[nodiscard]] Result<UniqueFd> listen_on_loopback(std::uint16_t port);  // 127.0.0.1
[[nodiscard]] Result<std::uint16_t> bound_port(const UniqueFd& socket);

// Serves until accept() fails for good. `served` counts the requests that got their reply in full.
[[nodiscard]] Status serve_echo(const UniqueFd& listener, const EchoOptions& options,
                                std::atomic<std::uint64_t>& served);

}  // namespace glassbox::bench
