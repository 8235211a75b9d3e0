// What the host and the guest's agent say to each other over vsock. The agent listens; the host connects
// through the VM's vsock.sock, a UNIX stream socket with Firecracker's convention: send "CONNECT <port>\n",
// read "OK <number>\n", then the stream is the connection.
//
// Both directions carry messages: MessageHeader, then `length` bytes of payload. Integers are little endian.
// Each side checks type and length before use; a message that may not be there ends the connection.
#pragma once

#include <cstdint>
#include <string_view>

namespace glassbox::protocol {

inline constexpr std::uint32_t kVersion = 2;
inline constexpr std::uint32_t kGuestCid = 3;
inline constexpr std::uint32_t kExecPort = 1024;   // one command a connection
inline constexpr std::uint32_t kTracePort = 1025;  // one trace session at a time
inline constexpr std::uint32_t kReadyPort = 1026;  // of the host: the agent connects once it listens (below)
inline constexpr std::uint32_t kMaxPayload = 64 * 1024;

// Bytes of stdin the host may have sent that the agent has not acknowledged (kStdinAck). The agent buffers
// that much, so that a signal never waits behind input that the command does not read.
inline constexpr std::uint32_t kStdinWindow = 256 * 1024;

// Ready: once it listens on its ports the agent connects to the host's kReadyPort (the monitor listens on the
// UNIX socket "<vsock.sock>_1026"), sends one line, kReadyLine and a newline, and closes. Nobody polls.
inline constexpr char kReadyLine[] = "glassbox-agent 1 ready";

// Our PCI function for clock exchanges: BAR 0 is one page; a 32-bit read at offset 0 exits, fires the probe
// clock_exchange(exchange, vcpu) and returns the exchange number (from 1, mod 2^32).
// A 32-bit read at kClockReadingOffset likewise fires clock_reading and returns the reading's number; 0 by a
// monitor that has none.
inline constexpr std::uint64_t kClockReadingOffset = 8;
inline constexpr std::uint16_t kClockPciVendor = 0x676c;
inline constexpr std::uint16_t kClockPciDevice = 0x6762;

struct MessageHeader {
  std::uint32_t type = 0;
  std::uint32_t length = 0;
};
static_assert(sizeof(MessageHeader) == 8);

enum class MessageType : std::uint32_t {
  // Exec port. Host to guest. kExecStart first: JSON
  // {"argv":[..],"env":[..],"cwd":"..","tty":bool,"rows":n,"cols":n}.
  kExecStart = 1,
  kStdin = 2,     // bytes; length 0 is end of file
  kResize = 3,    // u16 rows, u16 cols
  kSignal = 4,    // u32 signal number, to the command's process group
  kPowerOff = 5,  // no payload, instead of kExecStart: sync, then ACPI power-off
  // Guest to host.
  kStdinAck = 6,  // u32 bytes of stdin that left the agent since the last acknowledgement; see kStdinWindow
  kStdout = 16,
  kStderr = 17,
  kExited = 18,      // i32 exit status as a shell would give it: status, or 128 + signal; the last message
  kExecFailed = 19,  // u32 errno, then text; 126/127 follow from it; the last message

  // Trace port. Host to guest.
  kTraceStart = 32,  // TraceStart
  kTraceStop = 33,   // no payload: detach, send what is buffered, then kTraceEnd
  // Guest to host. Records are buffered in the guest during the workload and sent after kTraceStop, or when
  // the buffer is half full.
  kTraceReady =
      48,  // text, one line per hook: "<hook> <kprobe|tp_btf|fentry|fexit|raw_tp|missing>[ <remark>]"
  kTraceEvents = 49,  // n * sizeof(gb_event), n >= 1
  kTraceDrops = 50,   // TraceDrops, cumulative
  kTraceEnd = 51,     // no payload, after the last events and drops
  kTraceError = 52,   // text; the session is over
  // Text, before kTraceDrops, a line for each share of a counter (bpf/drop_share.h) that is not 0:
  // "<counter> <kind or hook> <count>".
  kTraceShares = 53,
};

struct TraceStart {
  std::uint32_t version = kVersion;
  std::uint32_t clock_interval_us = 10'000;  // an exchange at least this often; bursts at start and end
};

// kTraceError to a collector that comes while another's session lasts.
inline constexpr std::string_view kTraceBusy = "another trace session is active";

struct TraceDrops {
  std::uint64_t ring_full = 0;         // failed reserves in the BPF ring buffer
  std::uint64_t buffer_full = 0;       // the agent's own buffer was full
  std::uint64_t recursion_misses = 0;  // BPF programs skipped (bpf_prog_info.recursion_misses)
  std::uint64_t kprobe_misses = 0;
  std::uint64_t own_events = 0;  // not a loss: events of the agent itself, filtered and counted
};

}  // namespace glassbox::protocol
