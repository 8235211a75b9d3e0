#include <linux/vm_sockets.h>
#include <sys/socket.h>

#include "guest/protocol.h"
#include "tools/bench/stacks/qemu_stack.h"
#include "vmm/client/session.h"

namespace glassbox::bench {

int run_in_guest(std::uint32_t cid, const std::vector<std::string>& command) {
  constexpr int kOurFailure = 125;
  UniqueFd connection(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = protocol::kExecPort;
  if (::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
    fmt::print(stderr, "in-guest: cannot reach guest {}: {}\n", cid, std::strerror(errno));
    return kOurFailure;
  }
  const auto signals = client::SignalWatch::create();
  if (!signals) return kOurFailure;
  const auto outcome = client::run_command(std::move(connection), {.argv = command, .env = {}}, {}, *signals);
  if (!outcome) {
    fmt::print(stderr, "in-guest: {}\n", outcome.error().message);
    return kOurFailure;
  }
  if (!outcome->message.empty()) fmt::print(stderr, "in-guest: {}\n", outcome->message);
  return outcome->kind == client::CommandEnd::Kind::kLost ? kOurFailure : outcome->status;
}

}  // namespace glassbox::bench
