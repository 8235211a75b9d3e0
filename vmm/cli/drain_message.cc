#include "vmm/cli/drain_message.h"

#include <fmt/format.h>

#include "vmm/base/say.h"

namespace glassbox::cli {

void tell_of_drain(net::Drain::Event event, const net::Undelivered& left, std::string_view who) {
  const std::string_view connections = left.flows == 1 ? "connection" : "connections";
  if (event == net::Drain::Event::kWaits) {
    say(stderr,
        fmt::format("glassbox: {} has ended; waiting until {} {} delivered what it sent (Ctrl-C: do not "
                    "wait)\n",
                    who, left.flows, left.flows == 1 ? "connection has" : "connections have"));
  } else if (event == net::Drain::Event::kGivenUp && left.flows != 0) {
    say(stderr,
        fmt::format("glassbox: gave up {} {} with at least {} bytes that {} had sent and the peer did not "
                    "take (see --linger)\n",
                    left.flows, connections, left.bytes, who));
  }
}

}  // namespace glassbox::cli
