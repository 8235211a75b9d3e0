// A network namespace whose only way out is the NAT: `glassbox netns` runs a command in it.
//
// Root gets a network and a mount namespace. An ordinary user gets them inside a user namespace that maps the
// user to itself, so the command keeps its user. Inside there are a tap device eth0 with 10.0.2.15/24 and
// fd00:10:0:2::15/64, default routes over 10.0.2.2 and fd00:10:0:2::2, and an /etc/resolv.conf (in this mount
// namespace only) that names 10.0.2.3 and fd00:10:0:2::3. Below an MTU of 1280 there is no IPv6.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "net/nat_config.h"
#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {

// A child process in its namespace that waits for the start signal.
struct NamespaceChild {
  pid_t pid = -1;
  UniqueFd pid_fd;
  UniqueFd tap;
  UniqueFd go;  // write a byte to make it run the command; close it to make it end
};

// Forks. The child becomes the keeper of the command (net/netns/netns_keeper.h), which gets signal_mask; both
// end when this process ends. The child's exit status is the command's, 127 if the command was not found, 126
// if it could not be run. Fails, with the child reaped, if the namespace cannot be set up.
//
// Thread: call it before the process has other threads, since the child runs on in this process's image.
[[nodiscard]] Result<NamespaceChild> start_in_namespace(const std::vector<std::string>& command,
                                                        const NatConfig& config, const sigset_t& signal_mask);

}  // namespace glassbox::net
