// The network options that `run` and `netns` share.
#pragma once

#include "net/nat_config.h"
#include "vmm/cli/command.h"

namespace glassbox::cli {

// config and cli, which the command belongs to, must live until the command line has been parsed. A bad value
// throws options::Invalid, with one line.
void add_network_options(Cli& cli, options::App& command, net::NatConfig& config);

}  // namespace glassbox::cli
