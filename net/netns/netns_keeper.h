// The keeper: the process between `glassbox netns` and its command. It runs the command, passes signals on,
// and makes sure that no process of the command stays behind, whichever of the two ends first and however.
//
// Orphans of the command become the keeper's children (PR_SET_CHILD_SUBREAPER). So every process that the
// command ever started can be found and ended once the command has ended or `glassbox netns` is gone. A
// process namespace would do the same, but in it the command would see other process numbers and need a /proc
// of its own, which not every container allows.
#pragma once

#include <signal.h>

#include <string>
#include <vector>

namespace glassbox::net {

// Does not return: exits as the command did, 128+n if signal n ended it, 127 if it was not found and 126 if
// it cannot be run. An end of file on `socket` means that `glassbox netns` is gone. Signals that are blocked
// when this is called are passed on to the command, which gets signal_mask.
[[noreturn]] void keep(const std::vector<std::string>& command, const sigset_t& signal_mask, int socket);

}  // namespace glassbox::net
