#include "tools/bench/measure/contender.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "tools/bench/net/exchange.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/stacks/native_stack.h"

namespace glassbox::bench {
namespace {

constexpr std::array<const char*, 4> kServices = {"echo", "keep", "sink", "source"};
constexpr std::uint16_t kFirstGuestPort = 7001;
constexpr int kGuestServerLimitS = 30;

std::vector<std::string> server_options(std::size_t service, const CompareSpec& spec) {
  return {"--service",       kServices.at(service),
          "--request-bytes", std::to_string(spec.payload),
          "--stream-bytes",  std::to_string(std::uint64_t{spec.stream_mib} << 20)};
}

// One name for all rows of a kind would make two of them one VM.
std::string vm_name() {
  static int made = 0;
  return fmt::format("compare-{}-{}", ::getpid(), ++made);
}

}  // namespace

Result<Servers> Servers::start(std::uint32_t address, const CompareSpec& spec) {
  Servers servers;
  for (std::size_t i = 0; i < kServices.size(); ++i) {
    GB_ASSIGN(const UniqueFd listener, listen_on(address));
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
  return servers;
}

Result<Servers> Servers::start_in(Stack& stack, const CompareSpec& spec, Watch& watch) {
  Servers servers;
  for (std::size_t i = 0; i < kServices.size(); ++i) {
    servers.ports_.at(i) = static_cast<std::uint16_t>(kFirstGuestPort + i);
    std::vector<std::string> argv{"gb-echo", "--port", std::to_string(servers.ports_.at(i))};
    for (std::string& option : server_options(i, spec))
      argv.push_back(std::move(option));
    GB_ASSIGN(auto server, stack.run_client(std::move(argv)));
    GB_TRY(watch.wait_output(*server, kGuestServerLimitS));  // it says so once it listens
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

bool Servers::alive() const {
  return std::none_of(children_.begin(), children_.end(),
                      [](const auto& child) { return child->reap().has_value(); });
}

std::string with_log(const Stack* stack, const std::string& message) {
  const std::string line = stack != nullptr ? stack->log_line() : std::string();
  const bool said = line.empty() || message.find(line) != std::string::npos;
  return said ? message : message + "; its log ends: " + line;
}

Status check_installed(const StackEntry& entry) {
  for (const std::string& program : entry.programs) {
    if (in_path(program)) continue;
    const bool last = &program == &entry.programs.back();
    return fail("not installed: apt-get install {}", last ? entry.package : "qemu-system-x86");
  }
  return {};
}

Result<std::unique_ptr<Stack>> make_contender_stack(const StackEntry& entry, const CompareSpec& spec,
                                                    const std::string& qemu_machine, VsockDoor* door) {
  GB_TRY(check_installed(entry));
  const std::string& name = entry.name;
  if (entry.group == Group::kVm && entry.carrier == "glassbox") {
    std::vector<std::string> options{"--append", kGuestArguments};
    if (entry.poll_off) options.insert(options.end(), {"--poll", "off"});
    return make_glassbox_stack({vm_name(), spec.vcpus, spec.memory_mib, options});
  }
  if (name == "guest-loopback") {
    return make_glassbox_stack(
        {vm_name(),
         spec.vcpus,
         spec.memory_mib,
         {"--append", kGuestArguments, "--add", program("gb-echo") + ":/bin/gb-echo"}});
  }
  if (name == "qemu-slirp" || name == "qemu-passt") {
    if (door == nullptr) return fail("no vsock to reach QEMU's guests");
    return make_qemu_stack({name == "qemu-passt", qemu_machine, spec.vcpus, spec.memory_mib}, *door);
  }
  if (name == "loopback") return make_loopback_stack();
  if (entry.carrier == "glassbox") return make_native_stack(entry.poll_off ? "netns-off" : "netns-adaptive");
  return make_native_stack(name);
}

}  // namespace glassbox::bench
