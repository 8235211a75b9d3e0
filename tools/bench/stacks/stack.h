// What carries a cycle between client and server: the thing under test.
//
// A stack starts, runs clients one after another, and stops; it leaves nothing behind, however the run ends.
// The client programs are the same on every stack.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/bench/process/child.h"
#include "tools/bench/process/watch.h"
#include "tools/bench/spec.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

class Stack {
 public:
  virtual ~Stack() = default;
  // Returns when a client can be started.
  [[nodiscard]] virtual Status start(Watch& watch) = 0;
  // The host's loopback address as a client sees it.
  [[nodiscard]] virtual std::string host() const = 0;
  // How a busybox shell and gb-crr are named where the client runs.
  [[nodiscard]] virtual std::vector<std::string> shell() const = 0;
  [[nodiscard]] virtual std::string single_client() const = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<Child>> run_client(std::vector<std::string> argv) = 0;
  // The VM's name, for the collector; empty where there is none.
  [[nodiscard]] virtual std::string vm_name() const { return {}; }
  // The process under test, while the stack runs; ourselves where there is none.
  [[nodiscard]] virtual pid_t pid() const { return ::getpid(); }
  // All processes under test, monitor and NAT; none where the kernel alone carries.
  [[nodiscard]] virtual std::vector<pid_t> pids() const { return {}; }
  // Those of them that are children of ours: no client comes to anything once one of them has ended.
  [[nodiscard]] virtual std::vector<Child*> children() { return {}; }
  // What its log or the guest's console said last, for the report of a failure.
  [[nodiscard]] virtual std::string log_line() const { return {}; }
  // Orderly; the destructor does it too, silently.
  [[nodiscard]] virtual Status stop() = 0;
};

[[nodiscard]] std::unique_ptr<Stack> make_stack(const CrrSpec& spec);

struct GlassboxVm {
  std::string name;
  std::uint32_t vcpus = 1;
  std::uint32_t memory_mib = 256;
  std::vector<std::string> more;  // arguments of `glassbox run`
  bool ipv6 = false;              // the clients connect over IPv6
};
[[nodiscard]] std::unique_ptr<Stack> make_glassbox_stack(GlassboxVm vm);
[[nodiscard]] std::unique_ptr<Stack> make_loopback_stack(bool ipv6 = false);

}  // namespace glassbox::bench
