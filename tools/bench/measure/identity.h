// Which process carried the packets, by what the kernel says and not by the command line.
//
// A client on the stack connects to a port of the launcher. While that connection is open, the socket at its
// other end belongs to the process that carries the stack's packets: a user-mode NAT makes the connection
// itself. /proc/net/tcp gives the socket, /proc/PID/fd its owner, /proc/PID/exe the program. If that is not
// the program that the row names, the stack has no row. A socket that this network namespace does not know
// was made in another namespace, and its packets came through the kernel.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "tools/bench/stacks/stack.h"
#include "tools/bench/stacks/stack_list.h"

namespace glassbox::bench {

struct Identity {
  pid_t pid = -1;       // -1: the kernel
  std::string program;  // path
  std::string version;
  std::string text;  // for the report
};

// Connects once through the stack and finds out. `address` is the one of the launcher's port.
[[nodiscard]] Result<Identity> identify(const StackEntry& entry, Stack& stack, std::uint32_t address,
                                        Watch& watch);

// Whether this may stand in the row: its program is the expected one, or the kernel where no program is
// expected. Pure.
[[nodiscard]] Status check_carrier(const StackEntry& entry, const std::optional<Identity>& owner,
                                   const std::string& own_monitor);

// The MD5 sum that a package's list has for a file; empty where it does not name that. Pure.
[[nodiscard]] std::string packaged_sum(const std::string& md5sums, const std::string& file);

// The version line of a file that is not a package's, or no longer; an error unless the program names itself
// as one of the package would. Pure.
[[nodiscard]] Result<std::string> own_version(const std::string& package, const std::string& file,
                                              const std::string& said);

// One end of a connection.
struct SocketEnd {
  std::uint32_t address = 0;  // IPv4, host order
  std::uint16_t port = 0;
};
// The inode of the socket with these ends in a /proc/net/tcp text. Pure.
[[nodiscard]] std::optional<std::uint64_t> socket_inode(std::string_view proc_net_tcp, const SocketEnd& local,
                                                        const SocketEnd& remote);

}  // namespace glassbox::bench
