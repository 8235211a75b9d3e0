// The process between `glassbox netns` and its command: it runs the command, passes signals on, and sees to
// it that nothing of the command stays behind, whichever of the two ends first and however.
//
// Orphans of the command become its children (PR_SET_CHILD_SUBREAPER), so that all that the command ever
// started can be found, and ended, when the command has ended or `glassbox netns` is gone. A process
// namespace would do the same, but the command would see other process numbers and need a /proc of its own,
// which not every container allows.
#pragma once

#include <signal.h>

#include <string>
#include <vector>

namespace glassbox::net {

// Does not return: exits as the command did, 128+n if signal n ended it, 127 if it was not found and 126 if
// it cannot be run. The end of file on `socket` says that `glassbox netns` is gone. Signals that are blocked
// by now are passed on; the command gets signal_mask.
[[noreturn]] void keep(const std::vector<std::string>& command, const sigset_t& signal_mask, int socket);

}  // namespace glassbox::net
