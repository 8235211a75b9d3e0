// The server side of a run: our echo server as a child process, or one of the user's that listens already.
#pragma once

#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "tools/bench/process/child.h"
#include "tools/bench/spec.h"
#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench {

class Server {
 public:
  using Counter = std::atomic<std::uint64_t>;

  // Starts ours on `port` (0: a free one), or checks that the external one is there.
  [[nodiscard]] static Result<Server> start(const ServerSpec& spec, std::uint16_t port);
  Server(Server&&) noexcept = default;
  Server& operator=(Server&&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  // Replies so far; null for an external server, which does not tell.
  [[nodiscard]] const Counter* served() const { return served_.get(); }
  // What its own clock said of the last `count` replies, in order (EchoOptions::times_fd).
  [[nodiscard]] Result<std::vector<std::uint64_t>> times(std::size_t count) const;
  [[nodiscard]] Child* child() { return child_.get(); }  // null for an external server

 private:
  Server() = default;
  struct Unmap {
    void operator()(Counter* page) const;
  };
  std::uint16_t port_ = 0;
  UniqueFd times_;                          // a memfd shared with the child
  std::unique_ptr<Counter, Unmap> served_;  // a page shared with the child
  std::unique_ptr<Child> child_;
};

// Whether a /proc/net/tcp or tcp6 text has a socket that listens on `port` and can be reached at
// 127.0.0.1, or at ::1.
[[nodiscard]] bool listens_on(std::string_view proc_net_tcp, std::uint16_t port, bool ipv6 = false);

}  // namespace glassbox::bench
