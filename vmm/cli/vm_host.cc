#include "vmm/cli/vm_host.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

#include "net/counters_signal.h"
#include "vmm/base/clock.h"
#include "vmm/base/descriptor_limit.h"
#include "vmm/base/io.h"
#include "vmm/cli/drain_message.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/network_options.h"
#include "vmm/machine/device_set.h"

namespace glassbox::cli {
namespace {

void write_to_stdout(std::span<const std::uint8_t> bytes) {
  write_or_drop(STDOUT_FILENO, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

VmHost::VmHost(VmSpec spec, RuntimeDir directory, client::ReadyListener ready,
               const client::SignalWatch& signals)
    : spec_(std::move(spec)),
      signals_(signals),
      directory_(std::move(directory)),
      ready_(std::move(ready)),
      console_(directory_.path() / "console.log", spec_.echo_console),
      ended_(::eventfd(0, EFD_CLOEXEC)),
      outcome_file_(
          ::open((directory_.path() / kOutcomeFile).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)),
      left_(::eventfd(0, EFD_CLOEXEC)) {}

Result<std::unique_ptr<VmHost>> VmHost::start(VmSpec spec, const client::SignalWatch& signals) {
  GB_ASSIGN(RuntimeDir directory, RuntimeDir::claim(spec.name));
  GB_ASSIGN(client::ReadyListener ready, client::ReadyListener::create(directory.path() / "vsock.sock"));
  std::unique_ptr<VmHost> vm(new VmHost(std::move(spec), std::move(directory), std::move(ready), signals));
  GB_TRY(vm->write_info());
  raise_descriptor_limit();
  net::block_counters_signal();  // before there is a thread that could take it
  std::promise<Status> started;
  std::future<Status> result = started.get_future();
  vm->thread_ = std::thread([&host = *vm, started = std::move(started)]() mutable {
    host.run(started);
    signal_event(host.left_.get());
  });
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

// The machine's thread: makes and destroys the machine and its devices.
void VmHost::run(std::promise<Status>& started) {
  std::unique_ptr<virtio::Devices> devices;
  std::unique_ptr<Machine> machine;
  const auto build = [&]() -> Status {
    MachineConfig config;
    config.kernel = spec_.kernel;
    GB_ASSIGN(const std::string initrd, initrd_path());
    if (!initrd.empty()) config.initrd = initrd;
    config.command_line = default_command_line();
    if (!spec_.append.empty()) config.command_line += " " + spec_.append;
    config.vcpus = spec_.vcpus;
    config.memory_mib = spec_.memory_mib;
    if (spec_.console_on_stdio) {
      config.console_output = write_to_stdout;
      config.console_input_fd = STDIN_FILENO;
    } else {
      config.console_output = [this](std::span<const std::uint8_t> bytes) { console_.write(bytes); };
    }
    GB_ASSIGN(machine, Machine::create(std::move(config)));
    virtio::DevicesConfig wanted;
    wanted.vsock_path = vsock_path();
    wanted.nat = spec_.nat;
    GB_ASSIGN(devices, virtio::Devices::create(machine->services(), wanted));
    return machine->start();
  };

  Status status = build();
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

// With --add the image is assembled in a memfd, which needs no clean-up, however the run ends.
Result<std::string> VmHost::initrd_path() {
  if (spec_.added.empty()) return spec_.initrd;
  if (spec_.initrd.empty()) return fail("--add needs an initrd to add to");
  GB_ASSIGN(const std::vector<char> bytes, load_initrd(spec_.initrd, spec_.added));
  initrd_.reset(::memfd_create("glassbox-initrd", MFD_CLOEXEC));
  if (!initrd_) return fail_errno(errno, "cannot make a memfd for the image");
  if (!write_all(initrd_.get(), bytes.data(), bytes.size())) {
    return fail_errno(errno, "cannot write the image to its memfd");
  }
  return fmt::format("/proc/self/fd/{}", initrd_.get());
}

Status VmHost::write_info() {
  const nlohmann::json info = {
      {"name", name()},           {"pid", ::getpid()},
      {"kernel", spec_.kernel},   {"initrd", spec_.initrd},
      {"vcpus", spec_.vcpus},     {"memory_mib", spec_.memory_mib},
      {"command", spec_.command}, {"started_at", static_cast<std::int64_t>(std::time(nullptr))}};
  return directory_.write_info(info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void VmHost::write_outcome() {
  const std::string line = fmt::format("{} {}\n", exit_status(outcome_), outcome_.message);
  if (outcome_file_) write_once(outcome_file_.get(), line);
}

}  // namespace glassbox::cli
