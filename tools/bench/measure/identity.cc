#include "tools/bench/measure/identity.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/echo.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kLimitS = 30;

std::string read_text(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// The process that has this socket; its thread group's leader.
std::optional<Identity> owner_of(std::uint64_t inode) {
  const std::string wanted = fmt::format("socket:[{}]", inode);
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    const std::string name = process.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code gone;
    for (const auto& fd : fs::directory_iterator(process.path() / "fd", gone)) {
      if (fs::read_symlink(fd.path(), gone) != wanted) continue;
      Identity owner;
      owner.pid = std::stoi(name);
      owner.program = fs::read_symlink(process.path() / "exe", gone);
      return owner;
    }
  }
  return std::nullopt;
}

// Programs of this build by their place in it; where the checkout lies says nothing.
std::string shown_path(const std::string& path) {
  const fs::path dir = program_dir();
  const std::string relative = fs::path(path).lexically_relative(dir);
  return relative.empty() || relative.starts_with("..") ? path : (dir.filename() / relative).string();
}

std::string output_of(std::vector<std::string> argv, Watch& watch) {
  auto child = Child::start({.what = argv.front(), .argv = argv});
  if (!child) return {};
  const auto status = watch.wait(**child, kLimitS);
  return status && status->ok() ? (*child)->out() : std::string();
}

// Whether what the process runs is what the package brought: its place alone can be anybody's.
bool is_as_packaged(const std::string& package, const Identity& owner, Watch& watch) {
  if (!output_of({"dpkg-query", "-S", owner.program}, watch).starts_with(package + ":")) return false;
  std::string list = output_of({"dpkg-query", "--control-path", package, "md5sums"}, watch);
  list.erase(std::min(list.find('\n'), list.size()));
  const std::string wanted = packaged_sum(read_text(list.c_str()), owner.program);
  const std::string found = output_of({"md5sum", fmt::format("/proc/{}/exe", owner.pid)}, watch);
  return wanted.empty() || found.empty() || found.starts_with(wanted);  // what nobody can tell is let pass
}

// A name says little: the file has to come from the package of the row, or say itself that it is that
// program.
Result<std::string> version_of(const std::string& package, const Identity& owner, Watch& watch) {
  const std::string& file = owner.program;
  if (package.empty()) return std::string(GLASSBOX_VERSION);
  if (is_as_packaged(package, owner, watch)) {
    return output_of({"dpkg-query", "-W", "-f", "${Version}", package}, watch);
  }
  return own_version(package, file, output_of({file, "--version"}, watch));
}

}  // namespace

std::string packaged_sum(const std::string& md5sums, const std::string& file) {
  std::istringstream lines(md5sums);
  for (std::string sum, path; lines >> sum >> std::ws && std::getline(lines, path);) {
    if ("/" + path == file) return sum;
  }
  return {};
}

Result<std::string> own_version(const std::string& package, const std::string& file,
                                const std::string& said) {
  const std::string line = said.substr(0, said.find('\n'));
  // What the programs of the packages call themselves.
  static const std::map<std::string, std::vector<std::string>> names = {
      {"passt", {"pasta", "passt"}},
      {"slirp4netns", {"slirp4netns"}},
      {"qemu-system-x86", {"QEMU emulator"}}};
  for (const std::string& name : names.at(package)) {
    if (line.starts_with(name)) return line + " (not of package " + package + ")";
  }
  return fail("{} is not of package {} and calls itself \"{}\"", file, package, line);
}

std::optional<std::uint64_t> socket_inode(std::string_view proc_net_tcp, const SocketEnd& local,
                                          const SocketEnd& remote) {
  // The kernel prints the address as the 32-bit word it is in memory, in network order.
  const auto text = [](const SocketEnd& end) {
    return fmt::format("{:08X}:{:04X}", htonl(end.address), end.port);
  };
  std::istringstream lines{std::string(proc_net_tcp)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::array<std::string, 10> field;
    for (std::string& one : field)
      fields >> one;
    if (!fields || field[1] != text(local) || field[2] != text(remote)) continue;
    return std::strtoull(field[9].c_str(), nullptr, 10);
  }
  return std::nullopt;
}

Status check_carrier(const StackEntry& entry, const std::optional<Identity>& owner,
                     const std::string& own_monitor) {
  if (entry.carrier.empty()) {
    if (!owner) return {};
    return fail("{} (process {}) carries the packets, not the kernel alone", owner->program, owner->pid);
  }
  if (!owner) return fail("no process seems to hold the connection that {} should have made", entry.name);
  const std::string file = fs::path(owner->program).filename();
  if (!file.starts_with(entry.carrier)) {
    return fail("{} (process {}) carries the packets, not {}", owner->program, owner->pid, entry.carrier);
  }
  std::error_code error;
  const std::string own = fs::path(own_monitor).parent_path() / entry.carrier;
  const bool is_own = entry.carrier == "glassbox" || entry.carrier == "glassbox-bench";
  if (is_own && !fs::equivalent(owner->program, own, error)) {
    return fail("{} (process {}) carries the packets, not this build's {}", owner->program, owner->pid, own);
  }
  return {};
}

Result<Identity> identify(const StackEntry& entry, Stack& stack, std::uint32_t address, Watch& watch) {
  GB_ASSIGN(const UniqueFd listener, listen_on({net::IpAddress::from_v4(address), 0}));
  GB_ASSIGN(const std::uint16_t port, bound_port(listener));
  GB_ASSIGN(const std::uint16_t reached, stack.port_for(port));
  GB_ASSIGN(auto client, stack.run_client({stack.client_programs().gb_crr, stack.host(),
                                           std::to_string(reached), "--cycles", "1"}));
  GB_TRY(watch.wait_readable(listener.get(), *client, kLimitS));
  sockaddr_in peer{};
  socklen_t size = sizeof(peer);
  UniqueFd connection(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC));
  if (!connection) return fail_errno(errno, "identity: accept");
  std::optional<Identity> owner;
  const auto inode = socket_inode(read_text("/proc/net/tcp"),
                                  {ntohl(peer.sin_addr.s_addr), ntohs(peer.sin_port)}, {address, port});
  if (inode) {
    owner = owner_of(*inode);
    if (!owner) return fail("the process that carries the packets cannot be seen by this user");
  }
  char byte = 0;
  (void)!::read(connection.get(), &byte, 1);
  (void)!::write(connection.get(), &byte, 1);
  connection.reset();
  GB_ASSIGN(const ExitStatus status, watch.wait(*client, kLimitS));
  if (!status.ok()) return fail("{}", client->how_it_ended());
  GB_TRY(check_carrier(entry, owner, program("glassbox")));
  Identity found = owner.value_or(Identity{});
  GB_ASSIGN(found.version, version_of(entry.package, found, watch));
  found.text = owner ? fmt::format("{} {} (process {})", shown_path(found.program), found.version, found.pid)
                     : "the kernel";
  if (entry.programs.size() > 1) {
    // The monitor in front of the carrier.
    std::error_code error;
    const std::string monitor = fs::read_symlink(fmt::format("/proc/{}/exe", stack.pid()), error);
    GB_ASSIGN(const std::string version,
              version_of("qemu-system-x86", {stack.pid(), monitor, {}, {}}, watch));
    found.text += fmt::format(", guest in {} {} (process {})", fs::path(monitor).filename().string(), version,
                              stack.pid());
  }
  return found;
}

}  // namespace glassbox::bench
