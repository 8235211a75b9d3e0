// The protocol between `tools/in-lab` on the host and the daemon in the lab.
//
// One TCP connection (QEMU forwards it) carries one command. Both sides send frames: 1 byte type, 3 bytes of
// length (little endian), payload. The client opens with Hello; the daemon answers Accepted or Refused.
//
// Flow control: on each stream (stdin, stdout, stderr, terminal) at most kWindow bytes may be in flight that
// the receiver has not passed on; Credit returns bytes. A command that does not read its stdin therefore
// never delays a signal, and an unread stdout never delays stderr.
//
// Pure functions and a buffer; no thread, no descriptor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace glassbox::lab {

inline constexpr std::size_t kHeaderBytes = 4;
inline constexpr std::size_t kMaxPayload =
    1u << 20;  // a Hello with a large environment; data frames are smaller
inline constexpr std::size_t kWindow = 1u << 18;
inline constexpr std::size_t kChunk = 1u << 15;

enum class Type : std::uint8_t {
  kHello = 1,  // client: encode_hello()
  kAccepted,   // daemon: the command is being started
  kRefused,    // daemon: text, why not (bad token)
  kData,       // both: stream, bytes
  kEnd,  // both: stream; the sender will send no more on it, or (stdout, stderr from the client) nobody reads
         // it
  kCredit,       // both: stream, u32 bytes passed on
  kSignal,       // client: u32 signal number
  kWindowSize,   // client: u32 rows, u32 columns
  kExit,         // daemon: u32 exit status as a shell gives it; the last frame
  kCannotStart,  // daemon: u32 exit status (125, 126, 127), text; the last frame
  kPing,         // client
  kPong,         // daemon
};

enum class Stream : std::uint8_t { kStdin = 0, kStdout = 1, kStderr = 2, kTerminal = 3 };
inline constexpr std::size_t kStreams = 4;

struct Frame {
  Type type{};
  std::string payload;
};

// The command and its environment. Bit n of `terminal_mask` is set if the caller's descriptor n is a
// terminal.
struct Hello {
  std::string token;
  std::uint32_t terminal_mask = 0;
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
  std::string directory;
  std::vector<std::string> environment;  // NAME=VALUE
  std::vector<std::string> command;      // at least one word
};

[[nodiscard]] std::string encode(Type type, std::string_view payload = {});
[[nodiscard]] std::string encode_data(Stream stream, std::string_view bytes);
[[nodiscard]] std::string encode_end(Stream stream);
[[nodiscard]] std::string encode_credit(Stream stream, std::uint32_t bytes);
[[nodiscard]] std::string encode_u32(Type type, std::uint32_t value, std::string_view text = {});
[[nodiscard]] std::string encode_window_size(std::uint32_t rows, std::uint32_t columns);
[[nodiscard]] std::string encode_hello(const Hello& hello);

// nullopt if the payload is malformed.
[[nodiscard]] std::optional<Hello> decode_hello(std::string_view payload);
[[nodiscard]] std::optional<std::uint32_t> u32_at(std::string_view payload, std::size_t offset);
// Data, End and Credit name their stream in the first byte.
[[nodiscard]] std::optional<Stream> stream_of(std::string_view payload);

// Collects bytes as they arrive and returns whole frames.
class Decoder {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  // The next whole frame, or nullopt if more bytes are needed or the peer is broken().
  [[nodiscard]] std::optional<Frame> next();
  // True once a length above kMaxPayload was announced: nothing after it can be decoded.
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  std::string buffer_;
  std::size_t taken_ = 0;
  bool broken_ = false;
};

}  // namespace glassbox::lab
