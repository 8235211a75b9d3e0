// The options of `run` and `netns` about the network, which are the same.
#pragma once

#include "net/nat_config.h"
#include "vmm/cli/command.h"

namespace glassbox::cli {

// config must live until the command line was parsed, and so must cli, of which the command is a part. A bad
// value is a options::Invalid of one line.
void add_network_options(Cli& cli, options::App& command, net::NatConfig& config);

}  // namespace glassbox::cli
