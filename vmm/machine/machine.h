// A virtual machine: memory, vCPUs, the platform devices, and the kernel in it.
//
//   GB_ASSIGN(auto machine, Machine::create(config));
//   ... devices are made with machine->services() ...
//   GB_TRY(machine->start());
//   const MachineEnd outcome = machine->wait();   // stop() from another thread ends it
//   ... devices are destroyed, then the machine ...
//
// Thread: create, start, wait and destruction on one thread; stop() on any; services() as its header says.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"
#include "vmm/boot/entry.h"
#include "vmm/devices/console.h"
#include "vmm/devices/power.h"
#include "vmm/kvm/kvm.h"
#include "vmm/machine/machine_end.h"
#include "vmm/machine/machine_services.h"
#include "vmm/machine/vcpu_thread.h"
#include "vmm/platform/services.h"

namespace glassbox {

struct MachineConfig {
  std::filesystem::path kernel;
  std::optional<std::filesystem::path> initrd;
  std::string command_line;  // all of it; see default_command_line()
  unsigned vcpus = 1;
  std::uint64_t memory_mib = 512;
  devices::Console::Output console_output;  // on the console's thread, may block
  int console_input_fd = -1;                // stays the caller's
};

// The kernel arguments of every Linux guest; the user's own follow them.
[[nodiscard]] std::string default_command_line();

// Model-specific registers as firmware would leave them. `misc_enable` is what KVM has in IA32_MISC_ENABLE:
// its bits that say that BTS and PEBS are not there must stay.
[[nodiscard]] std::array<kvm_msr_entry, 2> firmware_msrs(std::uint64_t misc_enable);

class Machine {
 public:
  // Checks the configuration, makes the VM and begins to load the kernel; a failure to load it is start()'s.
  [[nodiscard]] static Result<std::unique_ptr<Machine>> create(MachineConfig config);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  [[nodiscard]] VmServices& services() { return *services_; }

  // Starts the vCPUs. Fails if the kernel or the initrd could not be loaded.
  [[nodiscard]] Status start();
  // Blocks until the machine has ended and no vCPU runs any more.
  [[nodiscard]] MachineEnd wait();
  // Makes wait() return kStopped, unless the machine has ended by itself. Any thread, any number of times.
  void stop();

  // Exits to the monitor so far, of all vCPUs. Any thread.
  [[nodiscard]] std::uint64_t exits() const;

 private:
  explicit Machine(MachineConfig config) : config_(std::move(config)) {}
  Status build();
  Status build_platform();
  Status load(const GuestMemory& memory);
  Status add_vcpus(const kvm::Kvm& kvm);
  void end(MachineEnd::Kind kind, std::string message);
  void on_guest_panic();
  void end_threads();
  MachineEnd final_outcome();
  [[nodiscard]] std::string states_of_others() const;

  MachineConfig config_;
  std::unique_ptr<MachineServices> services_;
  UniqueFd serial_irq_;
  std::unique_ptr<devices::Console> console_;
  std::unique_ptr<devices::PowerPorts> power_;
  std::unique_ptr<devices::KeyboardReset> keyboard_reset_;
  std::unique_ptr<devices::PanicPort> panic_port_;
  boot::Handover handover_;
  std::vector<std::unique_ptr<VcpuThread>> vcpus_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<MachineEnd> ended_;  // the first reason counts
  bool panic_reported_ = false;      // through pvpanic

  std::future<Status>
      loading_;  // last member: its thread ends before the members that it writes to are destroyed
};

}  // namespace glassbox
