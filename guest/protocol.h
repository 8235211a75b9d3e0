// The protocol between the host and the guest's agent, over vsock. The agent listens. The host connects to
// the VM's vsock.sock, a UNIX stream socket with Firecracker's convention: send "CONNECT <port>\n", read
// "OK <number>\n", and from then on the stream is the connection.
//
// Both directions carry messages: a MessageHeader, then `length` bytes of payload. Integers are little
// endian. Neither side trusts the other: it checks type and length before use, and a message that is not
// allowed at that point ends the connection. guest/README.md has the messages in one picture; framing.h reads
// and writes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace glassbox::protocol {

inline constexpr std::uint32_t kVersion = 2;  // raised when a message changes its meaning
inline constexpr std::uint32_t kGuestCid = 3;
inline constexpr std::uint32_t kExecPort = 1024;         // one command for each connection
inline constexpr std::uint32_t kTracePort = 1025;        // one trace session at a time
inline constexpr std::uint32_t kReadyPort = 1026;        // on the host; see kReadyLine
inline constexpr std::uint32_t kMaxPayload = 64 * 1024;  // bytes

// Most bytes of stdin that the host may have sent and the agent has not acknowledged (kStdinAck). The agent
// buffers that much, so that a signal never waits behind input that the command does not read.
inline constexpr std::uint32_t kStdinWindow = 256 * 1024;

// More than Linux gives to any command (three quarters of its largest stack, 8 MiB), so that the guest's
// kernel decides.
inline constexpr std::uint32_t kMaxCommand = 8 << 20;  // bytes

// Once the agent listens on its ports it connects to the host's kReadyPort, where the monitor listens on the
// UNIX socket "<vsock.sock>_1026", sends kReadyLine and a newline, and closes. The host need not poll.
inline constexpr char kReadyLine[] = "glassbox-agent 1 ready";
// Instead, if the guest is not fit to be used: this, what failed (at most kMaxFailure bytes), and a newline.
inline constexpr char kFailedLine[] = "glassbox-agent 1 failed: ";
inline constexpr std::size_t kMaxFailure = 200;

// The monitor's PCI function for clock exchanges. BAR 0 is one page. A 32-bit read at offset 0 exits, fires
// the probe clock_exchange(exchange, vcpu) and returns the number of the exchange (from 1, modulo 2^32).
// A 32-bit read at kClockReadingOffset fires clock_reading in the same way and returns the number of the
// reading, or 0 if the monitor does not offer readings.
inline constexpr std::uint64_t kClockReadingOffset = 8;
inline constexpr std::uint16_t kClockPciVendor = 0x676c;
inline constexpr std::uint16_t kClockPciDevice = 0x6762;

struct MessageHeader {
  std::uint32_t type = 0;
  std::uint32_t length = 0;
};
static_assert(sizeof(MessageHeader) == 8);

enum class MessageType : std::uint32_t {
  // Exec port. Host to guest. kExecArguments and kExecEnvironment first, as often as needed, then kExecStart:
  // JSON {"cwd":"..","tty":bool,"rows":n,"cols":n}. A short command may stand in it instead, as "argv":[..]
  // and "env":[..].
  kExecStart = 1,
  kStdin = 2,   // bytes; length 0 is end of file
  kResize = 3,  // u16 rows, u16 cols
  kSignal = 4,  // u32 signal number, 1 to 64, for the command's process group (a terminal's foreground group)
  kPowerOff = 5,  // no payload; instead of kExecStart: sync, then ACPI power-off
  // The payloads of each type, joined, are strings of any bytes, each ended by a zero byte: the words of the
  // command, and "NAME=value". At most kMaxCommand bytes of each, else kExecFailed with E2BIG.
  kExecArguments = 7,
  kExecEnvironment = 8,
  // Guest to host.
  kStdinAck = 6,  // u32 bytes of stdin that the command took since the last acknowledgement; see kStdinWindow
  kStdout = 16,
  kStderr = 17,
  kExited = 18,      // i32 exit status as a shell gives it: status, or 128 + signal; the last message
  kExecFailed = 19,  // u32 errno, which decides between statuses 126 and 127, then text; the last message

  // Trace port. Host to guest.
  kTraceStart = 32,  // TraceStart
  kTraceStop = 33,   // no payload: detach, send what is buffered, then kTraceEnd
  // Guest to host. Events are buffered in the guest during the workload and sent after kTraceStop, or earlier
  // if the buffer is half full.
  // kTraceReady: text, one line for each hook:
  // "<hook> <kprobe|tp_btf|fentry|fexit|raw_tp|mmio|missing>[ <remark>]".
  kTraceReady = 48,
  kTraceEvents = 49,  // n * sizeof(gb_event), n >= 1
  kTraceDrops = 50,   // TraceDrops, cumulative since kTraceStart
  kTraceEnd = 51,     // no payload, after the last events and drops
  kTraceError = 52,   // text that says why the session is over; the last message
  // kTraceShares: text, before kTraceDrops, one line for each part of a counter (bpf/drop_share.h) that is
  // not 0:
  // "<counter> <kind or hook> <count>".
  kTraceShares = 53,
};

struct TraceStart {
  std::uint32_t version = kVersion;
  std::uint32_t clock_interval_us = 10'000;  // between two exchanges; the bursts at both ends are extra
};

// Text of kTraceError for a collector that connects while another session is active.
inline constexpr std::string_view kTraceBusy = "another trace session is active";

// Events that are missing from a trace, by cause.
struct TraceDrops {
  std::uint64_t ring_full = 0;         // failed reserves in the BPF ring buffer
  std::uint64_t buffer_full = 0;       // the agent's own buffer was full
  std::uint64_t recursion_misses = 0;  // BPF programs skipped (bpf_prog_info.recursion_misses)
  std::uint64_t kprobe_misses = 0;     // hooks whose kprobe did not fire although the event happened
  std::uint64_t own_events = 0;        // not a loss: events of the agent itself, filtered out
};

}  // namespace glassbox::protocol
