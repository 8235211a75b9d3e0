// An echo server that is late in one place, in the cycles that are to be delayed, and measures by how much.
//
// Theory of operation. A thread of its own serves one connection at a time. Before each cycle the driver
// calls arm(), which returns when the server is about to accept (or, in a delayed cycle, about to sleep
// before that); then the driver starts the client. The wait of a request is measured from the kernel's time
// stamp of its arrival (SO_TIMESTAMPNS).
//
// arm(), settle() and delays() are for one driver thread; read delays() only after settle().
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "vmm/base/unique_fd.h"

namespace glassbox::delays {

struct ServerPlan {
  std::chrono::microseconds accept_sleep{0};  // sleep between two non-blocking accept() calls
  std::chrono::microseconds read_sleep{0};    // between accept() and read()
  std::chrono::microseconds think{0};         // between read() and write()
  bool split_reply = false;                   // two bytes in two writes, with Nagle's algorithm on
  bool full_backlog = false;                  // an idle connection fills the backlog when the client connects
  // Called with the connection when the request has been read, and with whether the cycle is delayed.
  std::function<void(int, bool)> before_reply = {};
};

class DelayServer {
 public:
  explicit DelayServer(ServerPlan plan);
  DelayServer(const DelayServer&) = delete;
  DelayServer& operator=(const DelayServer&) = delete;
  ~DelayServer();

  [[nodiscard]] std::uint16_t port() const { return port_; }
  // Prepares one cycle and returns when the client may start.
  void arm(bool delayed);
  // Waits until the server has finished the armed cycle.
  void settle();
  // The measured delay of each armed cycle, in ns.
  [[nodiscard]] const std::vector<std::int64_t>& delays() const { return delays_; }

 private:
  enum class Turn { kIdle, kArmed, kReady, kEnd };
  void run();
  UniqueFd accept_client(bool delayed);
  std::int64_t serve(int fd, bool delayed, std::int64_t accepted_ns);
  void become_ready();

  ServerPlan plan_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  Turn turn_ = Turn::kIdle;
  bool delayed_ = false;
  std::vector<std::int64_t> delays_;
  std::thread thread_;
};

}  // namespace glassbox::delays
