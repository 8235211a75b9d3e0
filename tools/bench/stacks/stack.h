// What carries a cycle between client and server: the thing under test.
//
// A stack starts, runs clients one after another, and stops. It leaves nothing behind, however the run ends.
// The client programs are the same on every stack. One thread, the launcher's, uses it.
//
// Implementations: glassbox and loopback (stack.cc), QEMU (qemu_stack.h), a network namespace behind a
// user-mode NAT or a veth pair (native_stack.h), and the socket relay (relay.h). make_stack.h picks one.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/bench/process/child.h"
#include "tools/bench/process/watch.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

// The client's programs as they are named where the client runs.
struct ClientPrograms {
  std::vector<std::string> shell;  // a busybox shell: {"sh"} in a guest, {"busybox", "sh"} elsewhere
  std::string gb_crr;
};

class Stack {
 public:
  virtual ~Stack() = default;
  // Returns when a client can be started.
  [[nodiscard]] virtual Status start(Watch& watch) = 0;
  // The address at which a client reaches the host's servers.
  [[nodiscard]] virtual std::string host() const = 0;
  // The port there that leads to `server_port` of the host. The first call for a port may start a process.
  [[nodiscard]] virtual Result<std::uint16_t> port_for(std::uint16_t server_port) { return server_port; }
  [[nodiscard]] virtual ClientPrograms client_programs() const = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<Child>> run_client(std::vector<std::string> argv) = 0;
  // The VM's name, for the collector; empty if there is no VM.
  [[nodiscard]] virtual std::string vm_name() const { return {}; }
  // The process under test, while the stack runs; the launcher if there is none.
  [[nodiscard]] virtual pid_t pid() const { return ::getpid(); }
  // All processes under test, monitor and NAT; none if the kernel alone carries.
  [[nodiscard]] virtual std::vector<pid_t> pids() const { return {}; }
  // Those of them that are children of the launcher: if one ends, no client can succeed.
  [[nodiscard]] virtual std::vector<Child*> children() { return {}; }
  // The last line of its log or of the guest's console, for the report of a failure.
  [[nodiscard]] virtual std::string log_line() const { return {}; }
  // Stops in order and reports failures; the destructor stops too, silently.
  [[nodiscard]] virtual Status stop() = 0;
};

struct GlassboxVm {
  std::string name;
  std::uint32_t vcpus = 1;
  std::uint32_t memory_mib = 256;
  std::vector<std::string> more = {};  // arguments of `glassbox run`
  bool ipv6 = false;                   // the clients connect over IPv6
};
[[nodiscard]] std::unique_ptr<Stack> make_glassbox_stack(GlassboxVm vm);
[[nodiscard]] std::unique_ptr<Stack> make_loopback_stack(bool ipv6 = false);

// The client's programs on this host: the busybox of the system, the gb-crr of this build.
[[nodiscard]] ClientPrograms host_client_programs();

}  // namespace glassbox::bench
