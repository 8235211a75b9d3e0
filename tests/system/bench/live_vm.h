// What the system tests with a running guest share: a VM that goes with its object, and a server for its
// clients.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/bench/system_test.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench::testing {

// Why no guest can be traced here; empty: it can.
[[nodiscard]] std::string why_no_traced_guest();

// `glassbox run -d` with these options; stopped at the end.
class LiveVm {
 public:
  LiveVm(const std::string& tag, std::vector<std::string> options);
  LiveVm(const LiveVm&) = delete;
  LiveVm& operator=(const LiveVm&) = delete;
  ~LiveVm();

  [[nodiscard]] pid_t pid() const { return pid_; }  // of its process; 0: it does not run
  [[nodiscard]] const std::string& name() const { return name_; }
  // The argv that runs a command in the guest.
  [[nodiscard]] std::vector<std::string> in_guest(std::vector<std::string> command) const;
  [[nodiscard]] Outcome exec(std::vector<std::string> command) const;

 private:
  std::string name_;
  pid_t pid_ = 0;
};

// An echo server on a thread of ours, on some port of the loopback.
class EchoThread {
 public:
  EchoThread();
  EchoThread(const EchoThread&) = delete;
  EchoThread& operator=(const EchoThread&) = delete;
  ~EchoThread();

  [[nodiscard]] std::string port() const;

 private:
  UniqueFd listener_;
  std::atomic<std::uint64_t> served_{0};
  std::thread thread_;
};

}  // namespace glassbox::bench::testing
