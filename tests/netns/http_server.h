// The part of HTTP/1.1 that curl and wrk need: one thread for each connection, kept alive unless the client
// closes.
//   GET /N   N bytes of a fixed sequence      PUT /anything   answers with the body's digest
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "vmm/base/unique_fd.h"

namespace glassbox {

// FNV-1a over 64-bit words: fast, and different for a lost, repeated or swapped part.
class Digest {
 public:
  void add(const char* data, std::size_t bytes);
  [[nodiscard]] std::string text() const;

 private:
  std::uint64_t state_ = 0xcbf29ce484222325U;
  std::uint64_t word_ = 0;
  std::uint64_t bytes_ = 0;
};

// The bytes that GET /N answers with: writes them to `fd` (false if that fails), or returns their digest.
bool write_sequence(int fd, std::size_t bytes);
[[nodiscard]] std::string digest_of_sequence(std::size_t bytes);
// The digest of everything that can be read.
[[nodiscard]] std::string digest_of(int fd);

class HttpServer {
 public:
  // Listens on a free port of the family's loopback address.
  explicit HttpServer(int family = AF_INET);
  ~HttpServer();
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::uint64_t requests() const { return requests_; }

 private:
  void serve(UniqueFd& fd);
  bool answer(int fd, std::string& buffer);

  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::atomic<std::uint64_t> requests_{0};
  std::mutex mutex_;  // guards what follows
  std::list<UniqueFd> open_;
  std::list<std::thread> threads_;
  std::thread accepting_;
};

}  // namespace glassbox
