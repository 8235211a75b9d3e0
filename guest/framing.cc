#include "guest/framing.h"

#include <sys/socket.h>

#include <algorithm>
#include <cassert>

namespace glassbox::protocol {

void append_message(std::string& out, MessageType type, std::string_view payload) {
  assert(payload.size() <= kMaxPayload);
  const MessageHeader header{static_cast<std::uint32_t>(type), static_cast<std::uint32_t>(payload.size())};
  out.append(as_payload(header));
  out.append(payload);
}

void append_stream(std::string& out, MessageType type, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.substr(0, kMaxPayload);
    append_message(out, type, part);
    bytes.remove_prefix(part.size());
  }
}

Result<std::optional<Message>> MessageDecoder::next() {
  const std::string_view rest = std::string_view(buffer_).substr(taken_);
  const auto header =
      from_payload<MessageHeader>(rest.substr(0, std::min(rest.size(), sizeof(MessageHeader))));
  if (header && header->length > kMaxPayload) {
    return fail("a message of type {} announces {} bytes; at most {} are allowed", header->type,
                header->length, kMaxPayload);
  }
  if (!header || rest.size() - sizeof(MessageHeader) < header->length) {
    buffer_.erase(0, taken_);
    taken_ = 0;
    return std::nullopt;
  }
  taken_ += sizeof(MessageHeader) + header->length;
  return Message{static_cast<MessageType>(header->type),
                 std::string(rest.substr(sizeof(MessageHeader), header->length))};
}

Status send_message(int fd, MessageType type, std::string_view payload) {
  std::string bytes;
  append_message(bytes, type, payload);
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t sent = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return fail_errno(errno, "cannot send a message");
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

namespace {

Status receive_exactly(int fd, char* to, std::size_t length) {
  while (length > 0) {
    const ssize_t got = ::recv(fd, to, length, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "cannot receive a message");
    if (got == 0) return fail("the connection ended before a whole message came");
    to += got;
    length -= static_cast<std::size_t>(got);
  }
  return {};
}

}  // namespace

Result<Message> receive_message(int fd) {
  MessageHeader header;
  GB_TRY(receive_exactly(fd, reinterpret_cast<char*>(&header), sizeof(header)));
  if (header.length > kMaxPayload) {
    return fail("a message of type {} announces {} bytes; at most {} are allowed", header.type, header.length,
                kMaxPayload);
  }
  Message message{static_cast<MessageType>(header.type), std::string(header.length, '\0')};
  GB_TRY(receive_exactly(fd, message.payload.data(), message.payload.size()));
  return message;
}

}  // namespace glassbox::protocol
