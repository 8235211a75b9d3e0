#include "tools/bench/stacks/server.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <new>
#include <sstream>

#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/echo.h"
#include "vmm/base/lab.h"

namespace glassbox::bench {
namespace {

std::string read_file(const char* path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Local addresses of /proc/net/tcp{,6} that a connect() to ::1 reaches: any, and loopback; those that one to
// 127.0.0.1 does: the same, and their mapped forms.
bool reachable_at_loopback(std::string_view address, bool ipv6) {
  if (ipv6) {
    return address == "00000000000000000000000000000000" || address == "00000000000000000000000001000000";
  }
  return address == "00000000" || address == "0100007F" || address == "00000000000000000000000000000000" ||
         address == "0000000000000000FFFF00000100007F";
}

}  // namespace

bool listens_on(std::string_view proc_net_tcp, std::uint16_t port, bool ipv6) {
  constexpr std::string_view kListen = "0A";
  std::istringstream lines{std::string(proc_net_tcp)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state;
    if (!(fields >> slot >> local >> remote >> state) || state != kListen) continue;
    const std::size_t colon = local.rfind(':');
    if (colon == std::string::npos) continue;
    unsigned value = 0;
    std::from_chars(local.data() + colon + 1, local.data() + local.size(), value, 16);
    if (value == port && reachable_at_loopback(std::string_view(local).substr(0, colon), ipv6)) return true;
  }
  return false;
}

Result<Server> Server::start(const ServerSpec& spec, std::uint16_t port) {
  Server server;
  if (spec.kind == ServerKind::kExternal) {
    // Looked up rather than connected to: a probing connection could be the one that the server was waiting
    // for.
    if (!listens_on(read_file("/proc/net/tcp"), spec.external_port, spec.ipv6) &&
        !listens_on(read_file("/proc/net/tcp6"), spec.external_port, spec.ipv6)) {
      return fail("nothing listens on {}:{}: start the server before the benchmark",
                  spec.ipv6 ? "[::1]" : "127.0.0.1", spec.external_port);
    }
    server.port_ = spec.external_port;
    return server;
  }
  const net::IpAddress loopback =
      spec.ipv6 ? net::kLoopback6 : net::IpAddress::from_v4(net::ipv4(127, 0, 0, 1));
  GB_ASSIGN(const UniqueFd listener, listen_on({loopback, port}));
  GB_ASSIGN(server.port_, bound_port(listener));
  const UniqueFd counter(::memfd_create("glassbox-bench-counter", MFD_CLOEXEC));
  if (!counter || ::ftruncate(counter.get(), sizeof(Counter)) < 0) return fail_errno(errno, "memfd_create");
  server.times_.reset(::memfd_create("glassbox-bench-times", MFD_CLOEXEC));
  if (!server.times_) return fail_errno(errno, "memfd_create");
  void* page = ::mmap(nullptr, sizeof(Counter), PROT_READ | PROT_WRITE, MAP_SHARED, counter.get(), 0);
  if (page == MAP_FAILED) return fail_errno(errno, "mmap of the echo server's counter");
  server.served_.reset(new (page) Counter(0));

  ChildSpec child{.what = "the echo server",
                  .argv = {program("gb-echo"), "--listen-fd", std::to_string(listener.get()), "--counter-fd",
                           std::to_string(counter.get()), "--times-fd", std::to_string(server.times_.get())},
                  .inherit = {listener.get(), counter.get(), server.times_.get()}};
  if (spec.kind == ServerKind::kPoll) {
    child.argv.insert(child.argv.end(), {"--poll", std::to_string(spec.poll_ms)});
  }
  GB_ASSIGN(server.child_, Child::start(std::move(child)));
  return server;
}

Result<std::vector<std::uint64_t>> Server::times(std::size_t count) const {
  const auto bytes = static_cast<off_t>(count * sizeof(std::uint64_t));
  const off_t size = ::lseek(times_.get(), 0, SEEK_END);
  std::vector<std::uint64_t> out(count);
  if (size < bytes ||
      ::pread(times_.get(), out.data(), static_cast<std::size_t>(bytes), size - bytes) != bytes)
    return fail("the server timed {} of {} replies", std::max<off_t>(size, 0) / 8, count);
  return out;
}

void Server::Unmap::operator()(Counter* page) const {
  ::munmap(static_cast<void*>(page), sizeof(*page));
}

}  // namespace glassbox::bench
