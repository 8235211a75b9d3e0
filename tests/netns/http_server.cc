#include "tests/netns/http_server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <vector>

#include "vmm/base/io.h"

namespace glassbox {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 16;

// 64 KiB that no shift maps onto itself. The sequence repeats this block, each time with the block's number
// in front.
std::vector<char> block_of(std::size_t number) {
  static const std::vector<char> body = [] {
    std::vector<char> bytes(kBlock);
    std::uint32_t state = 1;
    for (char& c : bytes)
      c = static_cast<char>((state = state * 1664525U + 1013904223U) >> 24);
    return bytes;
  }();
  std::vector<char> block = body;
  std::memcpy(block.data(), &number, sizeof(number));
  return block;
}

template <typename Take>
bool each_block(std::size_t bytes, const Take& take) {
  for (std::size_t number = 0; bytes != 0; ++number) {
    const std::size_t n = std::min(bytes, kBlock);
    if (!take(block_of(number).data(), n)) return false;
    bytes -= n;
  }
  return true;
}

std::size_t content_length(const std::string& head) {
  for (const char* name : {"Content-Length: ", "content-length: "}) {
    const auto at = head.find(name);
    if (at != std::string::npos) return std::stoul(head.substr(at + std::strlen(name)));
  }
  return 0;
}

}  // namespace

void Digest::add(const char* data, std::size_t bytes) {
  for (; bytes != 0; ++data, --bytes) {
    word_ = (word_ << 8) | static_cast<unsigned char>(*data);
    if (++bytes_ % 8 == 0) state_ = (state_ ^ word_) * 0x100000001b3U;
  }
}

std::string Digest::text() const {
  return fmt::format("{:016x}-{}", (state_ ^ word_) * 0x100000001b3U, bytes_);
}

bool write_sequence(int fd, std::size_t bytes) {
  return each_block(bytes, [fd](const char* data, std::size_t n) { return write_all(fd, data, n); });
}

std::string digest_of_sequence(std::size_t bytes) {
  Digest digest;
  each_block(bytes, [&](const char* data, std::size_t n) {
    digest.add(data, n);
    return true;
  });
  return digest.text();
}

std::string digest_of(int fd) {
  Digest digest;
  std::vector<char> buffer(kBlock);
  ssize_t n = 0;
  while ((n = ::read(fd, buffer.data(), buffer.size())) > 0)
    digest.add(buffer.data(), static_cast<std::size_t>(n));
  return digest.text();
}

HttpServer::HttpServer(int family) : listener_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in6 six{};
  sockaddr_in four{};
  six.sin6_family = AF_INET6;
  six.sin6_addr = in6addr_loopback;
  four.sin_family = AF_INET;
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_six = family == AF_INET6;
  auto* name = is_six ? reinterpret_cast<sockaddr*>(&six) : reinterpret_cast<sockaddr*>(&four);
  socklen_t length = is_six ? sizeof(six) : sizeof(four);
  EXPECT_EQ(::bind(listener_.get(), name, length), 0);
  EXPECT_EQ(::listen(listener_.get(), 256), 0);
  EXPECT_EQ(::getsockname(listener_.get(), name, &length), 0);
  port_ = ntohs(is_six ? six.sin6_port : four.sin_port);
  accepting_ = std::thread([this] {
    for (;;) {
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) return;
      const std::lock_guard lock(mutex_);
      UniqueFd& connection = open_.emplace_back(std::move(fd));
      threads_.emplace_back([this, &connection] { serve(connection); });
    }
  });
}

HttpServer::~HttpServer() {
  ::shutdown(listener_.get(), SHUT_RDWR);
  accepting_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const UniqueFd& fd : open_) {
      if (fd) ::shutdown(fd.get(), SHUT_RDWR);
    }
  }
  for (std::thread& thread : threads_)
    thread.join();
}

void HttpServer::serve(UniqueFd& fd) {
  // Otherwise a client that ends in the middle of an answer would kill the test program by SIGPIPE.
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  std::string buffer;
  while (answer(fd.get(), buffer)) {
  }
  const std::lock_guard lock(mutex_);
  fd.reset();
}

// False once the connection must be closed.
bool HttpServer::answer(int fd, std::string& buffer) {
  std::vector<char> chunk(kBlock);
  std::size_t end = 0;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    const ssize_t n = ::recv(fd, chunk.data(), chunk.size(), 0);
    if (n <= 0) return false;
    buffer.append(chunk.data(), static_cast<std::size_t>(n));
  }
  const std::string head = buffer.substr(0, end + 4);
  buffer.erase(0, end + 4);
  if (head.starts_with("GET /")) {
    const std::size_t bytes = std::stoul("0" + head.substr(5));
    const bool last = head.find("Connection: close") != std::string::npos;
    const std::string reply = fmt::format("HTTP/1.1 200 OK\r\n{}Content-Length: {}\r\n\r\n",
                                          last ? "Connection: close\r\n" : "", bytes);
    if (!write_all(fd, reply.data(), reply.size()) || !write_sequence(fd, bytes)) return false;
    ++requests_;
    return !last;
  }
  if (head.find("100-continue") != std::string::npos) {
    const std::string go = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!write_all(fd, go.data(), go.size())) return false;
  }
  Digest digest;
  std::size_t left = content_length(head);
  const std::size_t at_hand = std::min(left, buffer.size());
  digest.add(buffer.data(), at_hand);
  buffer.erase(0, at_hand);
  left -= at_hand;
  while (left != 0) {
    const ssize_t n = ::recv(fd, chunk.data(), std::min(left, chunk.size()), 0);
    if (n <= 0) return false;
    digest.add(chunk.data(), static_cast<std::size_t>(n));
    left -= static_cast<std::size_t>(n);
  }
  const std::string text = digest.text();
  const std::string reply = fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", text.size(), text);
  ++requests_;
  return write_all(fd, reply.data(), reply.size());
}

}  // namespace glassbox
