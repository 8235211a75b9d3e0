// The client in a guest of QEMU: with glassbox's kernel, image and command line, and the same agent in it.
//
// Theory of operation. The launcher reaches the agent over vhost-vsock, with the protocol that the agent
// speaks to glassbox (guest/protocol.h): it reports when it is ready, and runs the client. The guests of the
// monitors differ only in their devices. The network is QEMU's own slirp, or passt at the other end
// of a connected pair of stream sockets, with the addresses that the agent expects.
//
// The machine is microvm, the smallest that QEMU has, or q35.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "tools/bench/stacks/stack.h"

namespace glassbox::bench {

// The host's vsock port to which the agents of QEMU's guests report that they are ready. There is one for the
// whole machine.
class GuestReadyPort {
 public:
  [[nodiscard]] static Result<GuestReadyPort> open();
  // Waits until the agent of guest `cid` has reported; `vm` is its monitor.
  [[nodiscard]] Status wait(std::uint32_t cid, Child& vm, int limit_s, Watch& watch);

 private:
  explicit GuestReadyPort(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
  std::set<std::uint32_t> came_;
};

struct QemuVm {
  bool passt = false;
  std::string machine = "microvm";
  std::uint32_t vcpus = 1;
  std::uint32_t memory_mib = 256;
};

// `ready_port` outlives the stack.
[[nodiscard]] std::unique_ptr<Stack> make_qemu_stack(QemuVm vm, GuestReadyPort& ready_port);

// QEMU's machines in the order in which a row tries them. A row keeps the machine that has booted when its
// stack is restarted, so that it never mixes figures of two machines. Pure.
[[nodiscard]] std::vector<std::string> qemu_machines(const std::string& option, const std::string& booted);

// argv of the monitor; Pure.
[[nodiscard]] std::vector<std::string> qemu_argv(const QemuVm& vm, std::uint32_t cid, int passt_fd,
                                                 const std::string& console);

// Runs a command in the guest `cid`; its exit status, 125 where the guest cannot be reached. What
// `glassbox-bench in-guest CID COMMAND...` does.
[[nodiscard]] int run_in_guest(std::uint32_t cid, const std::vector<std::string>& command);

}  // namespace glassbox::bench
