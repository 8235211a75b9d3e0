#include "tools/lab/wire.h"

#include <cassert>

namespace glassbox::lab {
namespace {

void put_u32(std::string& out, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8)
    out.push_back(static_cast<char>(value >> shift & 0xff));
}

void put_text(std::string& out, std::string_view text) {
  put_u32(out, static_cast<std::uint32_t>(text.size()));
  out.append(text);
}

void put_list(std::string& out, const std::vector<std::string>& list) {
  put_u32(out, static_cast<std::uint32_t>(list.size()));
  for (const auto& text : list)
    put_text(out, text);
}

// Reads values from the front of a payload. `ok` becomes false at the first missing value and stays false.
struct Reader {
  std::string_view rest;
  bool ok = true;

  std::uint32_t u32() {
    const auto value = u32_at(rest, 0);
    ok = ok && value.has_value();
    if (!ok) return 0;
    rest.remove_prefix(4);
    return *value;
  }
  std::string text() {
    const std::uint32_t size = u32();
    ok = ok && size <= rest.size();
    if (!ok) return {};
    std::string out(rest.substr(0, size));
    rest.remove_prefix(size);
    return out;
  }
  std::vector<std::string> list() {
    std::vector<std::string> out;
    const std::uint32_t count = u32();
    for (std::uint32_t i = 0; ok && i < count; ++i)
      out.push_back(text());
    return out;
  }
};

}  // namespace

std::string encode(Type type, std::string_view payload) {
  assert(payload.size() <= kMaxPayload);
  const auto size = static_cast<std::uint32_t>(payload.size());
  std::string out;
  out.reserve(kHeaderBytes + payload.size());
  out.push_back(static_cast<char>(type));
  for (int shift = 0; shift < 24; shift += 8)
    out.push_back(static_cast<char>(size >> shift & 0xff));
  out.append(payload);
  return out;
}

std::string encode_data(Stream stream, std::string_view bytes) {
  std::string payload(1, static_cast<char>(stream));
  payload.append(bytes);
  return encode(Type::kData, payload);
}

std::string encode_end(Stream stream) {
  return encode(Type::kEnd, std::string(1, static_cast<char>(stream)));
}

std::string encode_credit(Stream stream, std::uint32_t bytes) {
  std::string payload(1, static_cast<char>(stream));
  put_u32(payload, bytes);
  return encode(Type::kCredit, payload);
}

std::string encode_u32(Type type, std::uint32_t value, std::string_view text) {
  std::string payload;
  put_u32(payload, value);
  payload.append(text);
  return encode(type, payload);
}

std::string encode_window_size(std::uint32_t rows, std::uint32_t columns) {
  std::string payload;
  put_u32(payload, rows);
  put_u32(payload, columns);
  return encode(Type::kWindowSize, payload);
}

std::string encode_hello(const Hello& hello) {
  std::string payload;
  put_text(payload, hello.token);
  put_u32(payload, hello.terminal_mask);
  put_u32(payload, hello.rows);
  put_u32(payload, hello.columns);
  put_text(payload, hello.directory);
  put_list(payload, hello.environment);
  put_list(payload, hello.command);
  return encode(Type::kHello, payload);
}

std::optional<Hello> decode_hello(std::string_view payload) {
  Reader in{payload};
  Hello hello;
  hello.token = in.text();
  hello.terminal_mask = in.u32();
  hello.rows = in.u32();
  hello.columns = in.u32();
  hello.directory = in.text();
  hello.environment = in.list();
  hello.command = in.list();
  if (!in.ok || !in.rest.empty() || hello.command.empty()) return std::nullopt;
  return hello;
}

std::optional<std::uint32_t> u32_at(std::string_view payload, std::size_t offset) {
  if (payload.size() < 4 || offset > payload.size() - 4) return std::nullopt;
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value |= static_cast<std::uint32_t>(static_cast<unsigned char>(payload[offset + i])) << (8 * i);
  }
  return value;
}

std::optional<Stream> stream_of(std::string_view payload) {
  if (payload.empty() || static_cast<unsigned char>(payload[0]) >= kStreams) return std::nullopt;
  return static_cast<Stream>(payload[0]);
}

std::optional<Frame> Decoder::next() {
  if (broken_ || buffer_.size() - taken_ < kHeaderBytes) return std::nullopt;
  const std::string_view bytes = std::string_view(buffer_).substr(taken_);
  const std::size_t size = *u32_at(bytes, 0) >> 8;
  if (size > kMaxPayload) {
    broken_ = true;
    return std::nullopt;
  }
  if (bytes.size() - kHeaderBytes < size) return std::nullopt;
  Frame frame{static_cast<Type>(bytes[0]), std::string(bytes.substr(kHeaderBytes, size))};
  taken_ += kHeaderBytes + size;
  if (taken_ == buffer_.size() || taken_ > kMaxPayload) {
    buffer_.erase(0, taken_);
    taken_ = 0;
  }
  return frame;
}

}  // namespace glassbox::lab
