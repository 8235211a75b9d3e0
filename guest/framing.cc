#include "guest/framing.h"

#include <algorithm>

#include "vmm/base/check.h"
#include "vmm/base/io.h"

namespace glassbox::protocol {

void append_message(std::string& out, MessageType type, std::string_view payload) {
  GB_CHECK(payload.size() <= kMaxPayload);
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
  if (!send_all(fd, bytes)) return fail_errno(errno, "cannot send a message");
  return {};
}

namespace {

Status receive_exactly(int fd, char* to, std::size_t length) {
  if (read_exactly(fd, to, length)) return {};
  if (errno == 0) return fail("the connection ended before a whole message came");
  return fail_errno(errno, "cannot receive a message");
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
