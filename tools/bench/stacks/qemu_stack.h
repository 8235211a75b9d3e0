// The client in a guest of QEMU: our kernel, image and command line, and the same agent in it.
//
// Theory of operation. The agent is reached over vhost-vsock, with the protocol that it speaks to our own
// monitor (guest/protocol.h): it says when it is up, and runs the client. Nothing in the guest differs
// between the monitors but the devices they offer. The network is QEMU's own slirp, or passt at the other end
// of a connected pair of stream sockets, with the addresses that the agent expects.
//
// The machine is microvm, the smallest that QEMU has, or q35.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "tools/bench/stacks/stack.h"

namespace glassbox::bench {

// Where the agents of QEMU's guests say that they are up: the host's vsock port, one for the whole machine.
class VsockDoor {
 public:
  [[nodiscard]] static Result<VsockDoor> open();
  // Waits until the agent of guest `cid` has come; `vm` is its monitor.
  [[nodiscard]] Status wait(std::uint32_t cid, Child& vm, int limit_s, Watch& watch);

 private:
  explicit VsockDoor(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
  std::set<std::uint32_t> came_;
};

struct QemuVm {
  bool passt = false;
  std::string machine = "microvm";
  std::uint32_t vcpus = 1;
  std::uint32_t memory_mib = 256;
};

// `door` outlives the stack.
[[nodiscard]] std::unique_ptr<Stack> make_qemu_stack(QemuVm vm, VsockDoor& door);

// QEMU's machines in the order in which a row tries them. The one that has booted stays the row's when its
// stack is started anew: figures of two machines are no row. Pure.
[[nodiscard]] std::vector<std::string> qemu_machines(const std::string& option, const std::string& booted);

// argv of the monitor; Pure.
[[nodiscard]] std::vector<std::string> qemu_argv(const QemuVm& vm, std::uint32_t cid, int passt_fd,
                                                 const std::string& console);

// Runs a command in the guest `cid`; its exit status, 125 where the guest cannot be reached. What
// `glassbox-bench in-guest CID COMMAND...` does.
[[nodiscard]] int run_in_guest(std::uint32_t cid, const std::vector<std::string>& command);

}  // namespace glassbox::bench
