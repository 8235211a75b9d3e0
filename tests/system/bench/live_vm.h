// Shared by the system tests that need a running guest: a VM that lives as long as its object, and a server
// for the guest's clients.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/bench/system_test.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench::testing {

// The reason why no guest can be traced on this machine; empty if one can.
[[nodiscard]] std::string why_no_traced_guest();

// Starts `glassbox run -d` with these options; the destructor stops the VM.
class LiveVm {
 public:
  LiveVm(const std::string& tag, std::vector<std::string> options);
  LiveVm(const LiveVm&) = delete;
  LiveVm& operator=(const LiveVm&) = delete;
  ~LiveVm();

  [[nodiscard]] pid_t pid() const { return pid_; }  // the monitor's pid; 0 if the VM does not run
  [[nodiscard]] const std::string& name() const { return name_; }
  // The host's argv that runs a command in the guest.
  [[nodiscard]] std::vector<std::string> in_guest(std::vector<std::string> command) const;
  [[nodiscard]] ProgramResult exec(std::vector<std::string> command) const;

 private:
  std::string name_;
  pid_t pid_ = 0;
};

// An echo server on a thread of this process, on a free port of the host's loopback.
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
