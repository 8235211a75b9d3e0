// Messages of guest/protocol.h on a byte stream: putting them together and taking them apart. Both ends use
// this; what comes in is checked here (length) and by the receiver (type, payload).
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

// Appends one message; the payload must not exceed kMaxPayload.
void append_message(std::string& out, MessageType type, std::string_view payload);

// Appends `bytes` as as many messages of that type as it takes; none for no bytes.
void append_stream(std::string& out, MessageType type, std::string_view bytes);

// Takes messages out of the bytes fed to it, in order. After an error the stream is of no more use.
class MessageDecoder {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  // Nothing while the next message is incomplete; an error if it announces more than kMaxPayload.
  [[nodiscard]] Result<std::optional<Message>> next();

 private:
  std::string buffer_;
  std::size_t taken_ = 0;
};

// Blocking: writes one message / reads one message, whole. End of stream before a message is an error.
[[nodiscard]] Status send_message(int fd, MessageType type, std::string_view payload);
[[nodiscard]] Result<Message> receive_message(int fd);

// A plain structure or integer as payload, and back; nothing if the size differs.
template <typename T>
[[nodiscard]] std::string_view as_payload(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}
template <typename T>
[[nodiscard]] std::optional<T> from_payload(std::string_view payload) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (payload.size() != sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, payload.data(), sizeof(T));
  return value;
}

}  // namespace glassbox::protocol
