#include "tools/bench/measure/stall.h"

#include <array>
#include <map>
#include <sstream>

namespace glassbox::bench {
namespace {

constexpr int kLimitS = 10;

}  // namespace

std::string waits_for(std::string_view proc_net_tcp, std::uint16_t port) {
  // include/net/tcp_states.h. TIME-WAIT waits for no packet.
  static const std::map<std::string, const char*> states = {
      {"01", "ESTABLISHED: bytes that are due do not come"},
      {"02", "SYN-SENT: its SYN is not answered"},
      {"04", "FIN-WAIT-1: its FIN is not acknowledged"},
      {"05", "FIN-WAIT-2: its FIN was acknowledged, the other end's never came"},
      {"08", "CLOSE-WAIT: the other end has closed, the client has not"},
      {"09", "LAST-ACK: its FIN is not acknowledged"},
      {"0B", "CLOSING: its FIN is not acknowledged"}};
  const std::string wanted = fmt::format(":{:04X}", port);
  std::istringstream lines{std::string(proc_net_tcp)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::array<std::string, 4> field;  // slot, local, remote, state
    for (std::string& one : field)
      fields >> one;
    const auto state = states.find(field[3]);
    if (fields && field[2].ends_with(wanted) && state != states.end()) return state->second;
  }
  return {};
}

std::string connection_state(Stack& stack, std::uint16_t port, Watch& watch) {
  auto cat = stack.run_client({"cat", "/proc/net/tcp"});
  if (!cat) return {};
  const auto status = watch.wait(**cat, kLimitS);
  return status && status->ok() ? waits_for((*cat)->out(), port) : std::string();
}

}  // namespace glassbox::bench
