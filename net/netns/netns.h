// A network namespace whose only way out is the NAT: what `glassbox netns` runs a command in.
//
// Root gets a network and a mount namespace; an ordinary user gets them inside a user namespace that maps the
// user to itself, so the command runs as who called it. Inside: a tap eth0 with 10.0.2.15/24 and
// fd00:10:0:2::15/64, default routes over 10.0.2.2 and fd00:10:0:2::2, and an /etc/resolv.conf (in the mount
// namespace alone) that names 10.0.2.3 and fd00:10:0:2::3. Below an MTU of 1280 there is no IPv6.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "net/nat_config.h"
#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

// A child process in its namespace, waiting to be let go.
struct NamespaceChild {
  pid_t pid = -1;
  UniqueFd pid_fd;
  UniqueFd tap;
  UniqueFd go;  // a byte written here makes it run the command; closing it makes it end
};

// Forks. The child keeps the command (net/netns/netns_keeper.h), which gets signal_mask; both end with this
// process. Its exit status is the command's, 127 if the command was not found, 126 if it could not be run.
[[nodiscard]] Result<NamespaceChild> start_in_namespace(const std::vector<std::string>& command,
                                                        const NatConfig& config, const sigset_t& signal_mask);

}  // namespace glassbox::net
