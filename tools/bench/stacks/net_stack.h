// The stacks of the comparison, each started with its measuring client in it.
//
// Tools that make the namespace themselves (glassbox netns, the bare NAT) run the agent as their command;
// tools that join one (pasta, slirp4netns; veth) join the agent's. All but veth run as an ordinary user, the
// agent too. Where this program is root it gives them a /dev/net/tun of their own in a mount namespace that
// ends with it: the machine's is left as it is.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/bench/process/child.h"
#include "tools/bench/stacks/agent.h"
#include "tools/bench/stacks/carrier.h"

namespace glassbox::bench {

// Addresses of the servers: the host's loopback, and the host's end of the veth pair.
inline constexpr std::uint32_t kLoopback = 0x7f000001;
inline constexpr std::uint32_t kVethHost = 0x0ad54d01;  // 10.213.77.1
inline constexpr const char* kVethHostText = "10.213.77.1";

struct NetStackKind {
  std::string name;
  std::string program;  // what must carry the packets; empty: the kernel alone
  std::string package;  // Debian package that has it; empty: ours
  bool streams = true;
  bool latencies = true;
};

// In the order of the table.
[[nodiscard]] const std::vector<NetStackKind>& net_stack_kinds();

class NetStack {
 public:
  // cancelled: asked a few times a second whether to give up.
  [[nodiscard]] static Result<std::unique_ptr<NetStack>> start(const NetStackKind& kind, std::uint16_t mtu,
                                                               std::function<bool()> cancelled = {});
  NetStack(const NetStack&) = delete;
  NetStack& operator=(const NetStack&) = delete;
  ~NetStack();

  [[nodiscard]] const NetStackKind& kind() const { return kind_; }
  [[nodiscard]] AgentLink& agent() { return agent_; }
  // The server's address as the client has to name it.
  [[nodiscard]] std::uint32_t server_address() const;
  // Empty where the kernel alone carries.
  [[nodiscard]] const std::optional<Carrier>& carrier() const { return carrier_; }
  [[nodiscard]] const std::string& version() const { return version_; }
  // The tool and the client that holds its namespace, where they are processes of their own.
  [[nodiscard]] std::vector<Child*> processes();
  // What the tool said last.
  [[nodiscard]] std::string log_line() const;

 private:
  explicit NetStack(NetStackKind kind) : kind_(std::move(kind)) {}
  Status launch(std::uint16_t mtu);
  Status launch_around(std::vector<std::string> argv);
  Status launch_beside(std::vector<std::string> argv);
  Status launch_veth(std::uint16_t mtu);
  Status identify();
  // The agent of this namespace, where it comes in time.
  Result<AgentLink> admit(const std::string& who);

  NetStackKind kind_;
  std::function<bool()> cancelled_;
  std::string directory_;
  std::string veth_;  // the host's end
  std::optional<AgentDoor> door_;
  std::unique_ptr<Child> agent_process_;  // where the tool does not start it
  std::unique_ptr<Child> tool_;
  AgentLink agent_;
  std::optional<Carrier> carrier_;
  std::string version_;
};

// Once, before the first stack: see above. A no-op for an ordinary user.
[[nodiscard]] Status prepare_tun();

}  // namespace glassbox::bench
