// What the user reads when the end of a command or a guest waits for peers (net/drain.h).
#pragma once

#include <string_view>

#include "net/drain.h"

namespace glassbox::cli {

// Says on stderr that the end waits, or that it has given up; nothing if everything was delivered. who:
// "the command" or "the guest".
void tell_of_drain(net::Drain::Event event, const net::Undelivered& left, std::string_view who);

}  // namespace glassbox::cli
