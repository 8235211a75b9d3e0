#include "vmm/cli/vm_host.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "net/counters_signal.h"
#include "vmm/base/descriptor_limit.h"
#include "vmm/base/io.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/network_options.h"
#include "vmm/machine/device_set.h"

namespace glassbox::cli {
namespace {

void write_to_stdout(std::span<const std::uint8_t> bytes) {
  write_or_drop(STDOUT_FILENO, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

VmHost::VmHost(VmSpec spec, RuntimeDir directory, client::ReadyListener ready)
    : spec_(std::move(spec)),
      directory_(std::move(directory)),
      ready_(std::move(ready)),
      console_(directory_.path() / "console.log", spec_.echo_console),
      ended_(::eventfd(0, EFD_CLOEXEC)),
      outcome_file_(::open((directory_.path() / kOutcomeFile).c_str(),
                           O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {}

Result<std::unique_ptr<VmHost>> VmHost::start(VmSpec spec, const client::SignalWatch& /*signals*/) {
  GB_ASSIGN(RuntimeDir directory, RuntimeDir::claim(spec.name));
  GB_ASSIGN(client::ReadyListener ready, client::ReadyListener::create(directory.path() / "vsock.sock"));
  std::unique_ptr<VmHost> vm(new VmHost(std::move(spec), std::move(directory), std::move(ready)));
  GB_TRY(vm->write_info());
  raise_descriptor_limit();
  net::block_counters_signal();  // before there is a thread that could take it
  std::promise<Status> started;
  std::future<Status> result = started.get_future();
  vm->thread_ = std::thread([&host = *vm, started = std::move(started)]() mutable { host.run(started); });
  GB_TRY(result.get());
  return vm;
}

VmHost::~VmHost() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void VmHost::stop() {
  const std::lock_guard lock(mutex_);
  if (machine_) machine_->stop();
}

const MachineEnd& VmHost::wait() {
  if (thread_.joinable()) thread_.join();
  return outcome_;
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
  }
  started.set_value(std::move(status));
  if (!running) {
    devices.reset();
    machine.reset();
    return;
  }
  outcome_ = machine_->wait();
  write_outcome();
  devices.reset();
  {
    const std::lock_guard lock(mutex_);
    machine_.reset();
  }
  signal_event(ended_.get());
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
