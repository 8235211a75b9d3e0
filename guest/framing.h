// Messages of guest/protocol.h on a byte stream: building them and taking them apart. The agent and the host
// both use this. It checks the length of an incoming message; the receiver checks type and payload.
//
// Thread: any; objects are not shared. Descriptors stay the caller's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "guest/protocol.h"
#include "vmm/base/result.h"

namespace glassbox::protocol {

struct Message {
  MessageType type{};
  std::string payload;
};

// Appends one message to `out`. The payload must not exceed kMaxPayload bytes.
void append_message(std::string& out, MessageType type, std::string_view payload);

// Appends `bytes` to `out` as messages of that type, kMaxPayload bytes at most in each; no message if `bytes`
// is empty.
void append_stream(std::string& out, MessageType type, std::string_view bytes);

// Takes messages out of the bytes that are fed to it, in order. After an error the rest of the stream cannot
// be decoded: close the connection.
class MessageDecoder {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  // The next message, or nullopt while it is incomplete. Fails if it announces more than kMaxPayload bytes.
  [[nodiscard]] Result<std::optional<Message>> next();

 private:
  std::string buffer_;
  std::size_t taken_ = 0;
};

// Write or read one whole message on a blocking descriptor. The end of the stream is an error, also between
// two messages.
[[nodiscard]] Status send_message(int fd, MessageType type, std::string_view payload);
[[nodiscard]] Result<Message> receive_message(int fd);

// The bytes of a plain structure or integer as a payload; the view is valid as long as `value` is.
template <typename T>
[[nodiscard]] std::string_view as_payload(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}
// The value that a payload holds, or nullopt if the payload has another size.
template <typename T>
[[nodiscard]] std::optional<T> from_payload(std::string_view payload) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (payload.size() != sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, payload.data(), sizeof(T));
  return value;
}

}  // namespace glassbox::protocol
