#include "host_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace glassbox::net {

Listener listen_on_loopback(int backlog, int flags) {
  Listener listener;
  listener.fd.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* name = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(listener.fd.get(), name, sizeof(address)), 0);
  EXPECT_EQ(::listen(listener.fd.get(), backlog), 0);
  EXPECT_EQ(::getsockname(listener.fd.get(), name, &length), 0);
  listener.port = ntohs(address.sin_port);
  return listener;
}

Server::Server(std::function<void(int fd)> serve, int backlog) : listener_(listen_on_loopback(backlog)) {
  thread_ = std::thread([this, serve = std::move(serve)] {
    while (!stop_) {
      UniqueFd fd(::accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) break;
      ++accepted_;
      serve(fd.get());
    }
  });
}

Server::~Server() {
  stop_ = true;
  ::shutdown(listener_.fd.get(), SHUT_RDWR);
  thread_.join();
}

std::string read_all(int fd) {
  return read_some(fd, ~std::size_t{0});
}

std::string read_some(int fd, std::size_t at_least) {
  std::string out;
  std::vector<char> buffer(65536);
  while (out.size() < at_least) {
    const ssize_t n = ::recv(fd, buffer.data(), std::min(buffer.size(), at_least - out.size()), 0);
    if (n <= 0) break;
    out.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return out;
}

void write_all(int fd, const std::string& data) {
  std::size_t at = 0;
  while (at < data.size()) {
    const ssize_t n = ::send(fd, data.data() + at, data.size() - at, MSG_NOSIGNAL);
    if (n <= 0) break;
    at += static_cast<std::size_t>(n);
  }
}

std::string pattern(std::size_t bytes, unsigned seed) {
  std::string out(bytes, '\0');
  std::uint32_t state = seed * 2654435761U + 1;
  for (char& c : out) {
    state = state * 1664525U + 1013904223U;
    c = static_cast<char>(state >> 24);
  }
  return out;
}

std::uint16_t closed_port(int type) {
  const UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  return ntohs(address.sin_port);
}

}  // namespace glassbox::net
