// Servers on the host: real sockets, served by threads.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "vmm/base/unique_fd.h"

namespace glassbox::net {

// On a port of 127.0.0.1 that the kernel chose.
struct Listener {
  UniqueFd fd;
  std::uint16_t port = 0;
};
// flags: of socket(2), in addition to SOCK_CLOEXEC.
[[nodiscard]] Listener listen_on_loopback(int backlog, int flags = 0);

// A listener on 127.0.0.1 that serves connections one after the other with a function, in a thread.
class Server {
 public:
  explicit Server(std::function<void(int fd)> serve, int backlog = 16);
  ~Server();
  [[nodiscard]] std::uint16_t port() const { return listener_.port; }
  [[nodiscard]] int accepted() const { return accepted_; }

 private:
  Listener listener_;
  std::atomic<int> accepted_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Blocking helpers of servers.
std::string read_all(int fd);
std::string read_some(int fd, std::size_t at_least);
void write_all(int fd, const std::string& data);
[[nodiscard]] std::string pattern(std::size_t bytes, unsigned seed = 1);
// A port of 127.0.0.1 without a listener.
[[nodiscard]] std::uint16_t closed_port(int type = SOCK_STREAM);

}  // namespace glassbox::net
