#include "tools/bench/stacks/servers.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "tools/bench/process/paths.h"
#include "tools/bench/workload.h"

namespace glassbox::bench {
namespace {

constexpr std::array<const char*, 4> kServices = {"echo", "keep", "sink", "source"};
constexpr std::uint16_t kFirstGuestPort = 7001;
constexpr int kGuestServerLimitS = 30;

std::vector<std::string> server_options(std::size_t service, const Spec& spec) {
  return {"--service",       kServices.at(service),
          "--request-bytes", std::to_string(spec.payload),
          "--stream-bytes",  std::to_string(std::uint64_t{spec.stream_mib} << 20)};
}

}  // namespace

Result<Servers> Servers::start(std::uint32_t address, const Spec& spec) {
  Servers servers;
  const net::Endpoint endpoint{net::IpAddress::from_v4(address), 0};
  for (std::size_t i = 0; i < kServices.size(); ++i) {
    GB_ASSIGN(const UniqueFd listener, listen_on(endpoint));
    GB_ASSIGN(servers.ports_.at(i), bound_port(listener));
    UniqueFd& counter = servers.counters_.at(i);
    counter.reset(::memfd_create("glassbox-bench-counter", MFD_CLOEXEC));
    if (!counter || ::ftruncate(counter.get(), sizeof(std::uint64_t)) < 0) return fail_errno(errno, "memfd");
    ChildSpec child{.what = "the server",
                    .argv = {program("gb-echo"), "--listen-fd", std::to_string(listener.get()),
                             "--counter-fd", std::to_string(counter.get())},
                    .inherit = {listener.get(), counter.get()}};
    for (std::string& option : server_options(i, spec))
      child.argv.push_back(std::move(option));
    GB_ASSIGN(auto server, Child::start(std::move(child)));
    servers.children_.push_back(std::move(server));
  }
  if (!wants(spec, "idle-flows") && !wants(spec, "half-closed")) return servers;
  GB_ASSIGN(const UniqueFd listener, listen_on(endpoint));
  GB_ASSIGN(servers.open_flows_port_, bound_port(listener));
  GB_ASSIGN(
      auto server,
      Child::start({.what = "the server of open flows",
                    .argv = {program("glassbox-bench"), "serve-open-flows", std::to_string(listener.get())},
                    .inherit = {listener.get()}}));
  servers.children_.push_back(std::move(server));
  return servers;
}

Result<Servers> Servers::start_in(Stack& stack, const Spec& spec, Watch& watch) {
  Servers servers;
  for (std::size_t i = 0; i < kServices.size(); ++i) {
    servers.ports_.at(i) = static_cast<std::uint16_t>(kFirstGuestPort + i);
    std::vector<std::string> argv{"gb-echo", "--port", std::to_string(servers.ports_.at(i))};
    for (std::string& option : server_options(i, spec))
      argv.push_back(std::move(option));
    GB_ASSIGN(auto server, stack.run_client(std::move(argv)));
    GB_TRY(watch.wait_output(*server, kGuestServerLimitS));  // it prints a line once it listens
    servers.children_.push_back(std::move(server));
  }
  return servers;
}

std::optional<std::uint64_t> Servers::served(Service service) const {
  const UniqueFd& counter = counters_.at(static_cast<std::size_t>(service));
  std::uint64_t count = 0;
  if (!counter || ::pread(counter.get(), &count, sizeof(count), 0) != sizeof(count)) return std::nullopt;
  return count;
}

pid_t Servers::pid(Service service) const {
  const auto index = static_cast<std::size_t>(service);
  return counters_.at(index) ? children_.at(index)->pid() : -1;
}

bool Servers::alive() const {
  return std::none_of(children_.begin(), children_.end(),
                      [](const auto& child) { return child->reap().has_value(); });
}

}  // namespace glassbox::bench
