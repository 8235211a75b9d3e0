#include "vmm/cli/vm_host.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <new>
#include <nlohmann/json.hpp>

#include "net/counters_signal.h"
#include "vmm/base/clock.h"
#include "vmm/base/descriptor_limit.h"
#include "vmm/base/io.h"
#include "vmm/base/start_thread.h"
#include "vmm/cli/drain_message.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/network_options.h"

namespace glassbox::cli {
namespace {

void write_to_stdout(std::span<const std::uint8_t> bytes) {
  write_or_drop(STDOUT_FILENO, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// What the standard library throws where memory ends is an error like any other.
template <typename Function>
Status without_exceptions(const Function& function) {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return fail_errno(ENOMEM, "cannot make the VM");
  } catch (const std::exception& error) {
    return fail("cannot make the VM: {}", error.what());
  }
}

}  // namespace

VmHost::VmHost(VmSpec spec, RuntimeDir directory, client::ReadyListener ready,
               const client::SignalWatch& signals)
    : spec_(std::move(spec)),
      signals_(signals),
      directory_(std::move(directory)),
      ready_(std::move(ready)),
      console_(directory_.path() / kConsoleLog, spec_.echo_console),
      ended_(::eventfd(0, EFD_CLOEXEC)),
      outcome_file_(
          ::open((directory_.path() / kOutcomeFile).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)),
      left_(::eventfd(0, EFD_CLOEXEC)) {}

Result<std::unique_ptr<VmHost>> VmHost::start(VmSpec spec, const client::SignalWatch& signals) {
  GB_ASSIGN(RuntimeDir directory, RuntimeDir::claim(spec.name));
  GB_ASSIGN(client::ReadyListener ready, client::ReadyListener::create(directory.path() / "vsock.sock"));
  std::unique_ptr<VmHost> vm(new VmHost(std::move(spec), std::move(directory), std::move(ready), signals));
  vm->started_at_ = std::time(nullptr);
  GB_TRY(vm->write_info());
  GB_TRY(vm->open_console_log());
  raise_descriptor_limit();
  net::block_counters_signal();  // before there is a thread that could take it
  std::promise<Status> started;
  std::future<Status> result = started.get_future();
  GB_ASSIGN(vm->thread_,
            start_thread("the VM's thread", [&host = *vm, started = std::move(started)]() mutable {
              host.run(started);
              signal_event(host.left_.get());
            }));
  GB_TRY(result.get());
  return vm;
}

VmHost::~VmHost() {
  stop();
  join();
}

void VmHost::stop() {
  const std::lock_guard lock(mutex_);
  if (machine_) machine_->stop();
}

const MachineEnd& VmHost::wait() {
  join();
  return outcome_;
}

void VmHost::join() {
  if (!thread_.joinable()) return;
  std::array<pollfd, 2> fds{{{left_.get(), POLLIN, 0}, {signals_.fd(), POLLIN, 0}}};
  while (fds[0].revents == 0) {
    if (::poll(fds.data(), fds.size(), -1) <= 0 || fds[1].revents == 0) continue;
    const auto signal = signals_.take();
    if (signal && *signal != SIGWINCH) abandon_drain();
  }
  thread_.join();
}

void VmHost::abandon_drain() {
  const std::lock_guard lock(mutex_);
  waits_for_peers_ = false;
  if (devices_) devices_->abandon_drain();
}

Status VmHost::open_console_log() {
  if (spec_.console_log.empty()) return {};
  UniqueFd file(::open(spec_.console_log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600));
  if (!file) return fail_errno(errno, "--console-log {}", spec_.console_log);
  console_.keep_in(std::move(file));
  return {};
}

void VmHost::add_stats(nlohmann::json& stats, const Machine& machine) const {
  stats["name"] = name();
  stats["pid"] = ::getpid();
  stats["up_s"] = std::max<std::int64_t>(0, std::time(nullptr) - started_at_);
  stats["vcpus"] = spec_.vcpus;
  stats["exits"] = machine.exits();
  stats["memory_mib"] = spec_.memory_mib;
  long pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  stats["resident_kib"] = resident * (::sysconf(_SC_PAGESIZE) / 1024);
}

// The image goes with this call: the guest has its own copy once it has started.
Status VmHost::build(std::unique_ptr<Machine>& machine, std::unique_ptr<virtio::Devices>& devices) {
  MachineConfig config;
  config.kernel = spec_.kernel;
  GB_ASSIGN(const BootImage image, make_boot_image(spec_.image()));
  if (!image.path.empty()) config.initrd = image.path;
  config.command_line = fmt::format("{} glassbox.date={}", default_command_line(), started_at_);
  if (!spec_.append.empty()) config.command_line += " " + spec_.append;
  config.vcpus = spec_.vcpus;
  config.memory_mib = spec_.memory_mib;
  config.console_output = [this](std::span<const std::uint8_t> bytes) {
    console_.write(bytes);
    if (spec_.console_on_stdio) write_to_stdout(bytes);
  };
  if (spec_.console_on_stdio) config.console_input_fd = spec_.console_input;
  GB_ASSIGN(machine, Machine::create(std::move(config)));
  virtio::DevicesConfig wanted;
  wanted.vsock_path = vsock_path();
  wanted.stats_path = directory_.path() / kStatsSocket;
  wanted.add_stats = [this, &running = *machine](nlohmann::json& stats) { add_stats(stats, running); };
  wanted.nat = spec_.nat;
  GB_ASSIGN(devices, virtio::Devices::create(machine->services(), wanted));
  return machine->start();
}

// The machine's thread: makes and destroys the machine and its devices.
void VmHost::run(std::promise<Status>& started) {
  std::unique_ptr<virtio::Devices> devices;
  std::unique_ptr<Machine> machine;
  Status status = without_exceptions([&] { return build(machine, devices); });
  const bool running = status.has_value();
  if (running) {
    const std::lock_guard lock(mutex_);
    machine_ = std::move(machine);
    devices_ = std::move(devices);
  }
  started.set_value(std::move(status));
  if (!running) {
    devices.reset();
    machine.reset();
    return;
  }
  outcome_ = machine_->wait();
  write_outcome();
  signal_event(ended_.get());
  deliver();
  {
    const std::lock_guard lock(mutex_);
    devices_.reset();
    machine_.reset();
  }
}

void VmHost::deliver() {
  std::uint64_t linger_ns = spec_.nat.linger_s * kNsPerSecond;
  {
    const std::lock_guard lock(mutex_);
    if (!waits_for_peers_) linger_ns = 0;
  }
  devices_->drain(linger_ns, [](net::Drain::Event event, const net::Undelivered& left) {
    tell_of_drain(event, left, "the guest");
  });
}

Status VmHost::write_info() {
  const nlohmann::json info = {
      {"name", name()},           {"pid", ::getpid()},
      {"kernel", spec_.kernel},   {"initrd", spec_.initrd},
      {"vcpus", spec_.vcpus},     {"memory_mib", spec_.memory_mib},
      {"command", spec_.command}, {"started_at", static_cast<std::int64_t>(started_at_)}};
  return directory_.write_info(info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void VmHost::write_outcome() {
  const std::string line = fmt::format("{} {}\n", exit_status(outcome_), outcome_.message);
  if (outcome_file_) write_once(outcome_file_.get(), line);
}

}  // namespace glassbox::cli
