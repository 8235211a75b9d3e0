// The client on the host, in the network namespace of a user-mode NAT or of a veth pair, entered by nsenter.
//
// Tools that make the namespace themselves (glassbox netns, the bare NAT) run its holder as their command.
// Tools that join one (pasta, slirp4netns), and the veth pair, join the holder's. All but veth run as an
// ordinary user, as does the holder. If the launcher is root, it gives them a /dev/net/tun in a mount
// namespace that ends with the launcher: the machine's own stays as it is.
#pragma once

#include <cstdint>
#include <memory>

#include "tools/bench/stacks/stack.h"
#include "tools/bench/stacks/stack_list.h"

namespace glassbox::bench {

// Addresses of the servers: the host's loopback, and the host's end of the veth pair.
inline constexpr std::uint32_t kLoopback = 0x7f000001;
inline constexpr std::uint32_t kVethHost = 0x0ad54d01;  // 10.213.77.1
inline constexpr const char* kVethHostText = "10.213.77.1";

// `entry` is one of the list's, and lives as long as the process.
[[nodiscard]] std::unique_ptr<Stack> make_native_stack(const StackEntry& entry, std::uint32_t mtu);

// Call once, before the first stack: see above. A no-op for an ordinary user.
[[nodiscard]] Status prepare_tun();

}  // namespace glassbox::bench
