#include "vmm/machine/machine.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <system_error>

#include "bpf/boot_stages.h"
#include "bpf/probes.h"
#include "vmm/acpi/tables.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/platform/layout.h"

namespace glassbox {
namespace {

constexpr std::uint64_t kMinMemoryMib = 64;
constexpr std::uint64_t kMaxMemoryMib = 1ULL << 24;
// An error message describes the state of at most this many other vCPUs.
constexpr std::size_t kVcpusDescribed = 4;
// After a panic was reported, how long the kernel may still print to its console before it resets. With
// panic=0 it never resets.
constexpr auto kPanicGrace = std::chrono::seconds(2);

void mark(BootStage stage) {
  probe::boot_mark(static_cast<std::uint32_t>(stage));
}

Status check(const MachineConfig& config) {
  if (config.vcpus < 1 || config.vcpus > layout::kMaxVcpus) {
    return fail("--vcpus must be between 1 and {}, not {}", layout::kMaxVcpus, config.vcpus);
  }
  if (config.memory_mib < kMinMemoryMib || config.memory_mib > kMaxMemoryMib) {
    return fail("--memory must be between {} and {} MiB, not {}", kMinMemoryMib, kMaxMemoryMib,
                config.memory_mib);
  }
  return {};
}

constexpr std::uint32_t kMiscEnable = 0x1A0;   // IA32_MISC_ENABLE
constexpr std::uint32_t kMtrrDefType = 0x2FF;  // IA32_MTRR_DEF_TYPE

}  // namespace

std::array<kvm_msr_entry, 2> firmware_msrs(std::uint64_t misc_enable) {
  constexpr std::uint64_t kFastStrings = 1;
  constexpr std::uint64_t kMtrrsOnWriteBack = 0x806;
  std::array<kvm_msr_entry, 2> msrs = {};
  msrs[0].index = kMiscEnable;
  msrs[0].data = misc_enable | kFastStrings;
  msrs[1].index = kMtrrDefType;
  msrs[1].data = kMtrrsOnWriteBack;
  return msrs;
}

std::string default_command_line() {
  // tsc=reliable: no clock watchdog, since there is no other clock to compare with. panic=-1: reset at once,
  // which ends the machine. reboot=a: use the ACPI reset register; on a hardware-reduced machine Linux would
  // otherwise try EFI and then a BIOS. nmi_watchdog=0: no lock-up detector, which would take one of the few
  // counters of the processor's PMU for itself. 8250.nr_uarts=1: do not probe for three more serial ports.
  // KASLR stays as the kernel has it, because no argument could turn it on again.
  return "console=ttyS0 quiet panic=-1 reboot=a tsc=reliable 8250.nr_uarts=1 pci=norom nmi_watchdog=0";
}

Result<std::unique_ptr<Machine>> Machine::create(MachineConfig config) {
  GB_TRY(check(config));
  std::unique_ptr<Machine> machine(new Machine(std::move(config)));
  GB_TRY(machine->build());
  return machine;
}

Status Machine::build() {
  GB_ASSIGN(const kvm::Kvm kvm, kvm::Kvm::open());
  GB_ASSIGN(GuestMemory mapped, GuestMemory::create(config_.memory_mib << 20));
  const auto memory = std::make_shared<const GuestMemory>(std::move(mapped));
  // Reading kernel and initrd takes as long as building the machine, so both are done at the same time.
  try {
    loading_ = std::async(std::launch::async, [this, memory] { return load(*memory); });
  } catch (const std::system_error& error) {
    return fail_errno(error.code().value(), "cannot start a thread that loads the kernel");
  }
  GB_ASSIGN(kvm::Vm vm, kvm.create_vm());

  GB_TRY(vm.set_real_mode_pages(layout::kIdentityMapPage, layout::kTaskStatePages));
  GB_TRY(vm.create_irqchip());
  std::uint32_t slot = 0;
  for (const GuestMemory::Region& region : memory->regions())
    GB_TRY(vm.add_memory(slot++, region));
  services_ = std::make_unique<MachineServices>(
      memory, std::move(vm),
      MachineServices::Requests{
          [this] { end(MachineEnd::Kind::kPoweredOff, "the guest powered off"); },
          [this] { end(MachineEnd::Kind::kReset, "the guest asked for a reset, which ends the VM"); },
          [this](unsigned index) -> kvm::Vcpu& { return vcpus_.at(index)->vcpu(); }});
  GB_TRY(services_->routing().start());
  GB_TRY(build_platform());
  GB_TRY(add_vcpus(kvm));
  mark(BootStage::kMachineCreated);
  return {};
}

Status Machine::build_platform() {
  serial_irq_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!serial_irq_) return fail_errno(errno, "eventfd");
  GB_TRY(services_->assign_irqfd(serial_irq_.get(), layout::kSerialIrq));
  auto output = [first = true,
                 pass_on = config_.console_output](std::span<const std::uint8_t> bytes) mutable {
    if (first) mark(BootStage::kConsoleOutput);
    first = false;
    if (pass_on) pass_on(bytes);
  };
  GB_ASSIGN(console_,
            devices::Console::create(std::move(output), config_.console_input_fd, serial_irq_.get()));
  power_ = std::make_unique<devices::PowerPorts>(*services_);
  keyboard_reset_ = std::make_unique<devices::KeyboardReset>(*services_);
  panic_port_ = std::make_unique<devices::PanicPort>([this] { on_guest_panic(); });
  GB_TRY(services_->map_pio(layout::kSerialPort, devices::Serial::kPorts, &console_->serial()));
  GB_TRY(services_->map_pio(layout::kSleepControlPort, 3, power_.get()));
  GB_TRY(services_->map_pio(layout::kKeyboardResetPort, 1, keyboard_reset_.get()));
  return services_->map_pio(layout::kPvpanicPort, 1, panic_port_.get());
}

Status Machine::load(const GuestMemory& memory) {
  GB_ASSIGN(handover_.kernel, boot::load_kernel(config_.kernel, memory));
  if (config_.initrd) {
    GB_ASSIGN(handover_.initrd, boot::load_initrd(*config_.initrd, memory, handover_.kernel.end));
  }
  GB_ASSIGN(handover_.rsdp, acpi::write_tables(config_.vcpus, memory));
  handover_.command_line = config_.command_line;
  return boot::write_handover(handover_, memory);
}

Status Machine::add_vcpus(const kvm::Kvm& kvm) {
  GB_ASSIGN(const auto supported, kvm.supported_cpuid());
  const kvm::CpuidHost host = kvm::read_cpuid_host();
  for (unsigned i = 0; i < config_.vcpus; ++i) {
    GB_ASSIGN(kvm::Vcpu vcpu, services_->vm().create_vcpu(i));
    kvm::CpuidHost seen = host;
    seen.tsc_khz = vcpu.tsc_khz();
    GB_TRY(vcpu.set_cpuid(kvm::guest_cpuid(supported, i, config_.vcpus, seen)));
    GB_TRY(vcpu.set_msrs(firmware_msrs(vcpu.msr(kMiscEnable).value_or(0))));
    vcpus_.push_back(std::make_unique<VcpuThread>(i, std::move(vcpu), services_->mmio(), services_->ports(),
                                                  VcpuThread::Events{[this](std::string why) {
                                                    end(MachineEnd::Kind::kError,
                                                        "the guest cannot go on: " + std::move(why));
                                                  }}));
  }
  return {};
}

Status Machine::start() {
  GB_TRY(loading_.get());
  mark(BootStage::kKernelLoaded);
  GB_TRY(boot::set_entry_registers(handover_, vcpus_.front()->vcpu()));
  GB_TRY(console_->start());
  mark(BootStage::kVcpusStarted);
  for (const auto& vcpu : vcpus_)
    GB_TRY(vcpu->start());
  return {};
}

void Machine::stop() {
  end(MachineEnd::Kind::kStopped, "stopped");
}

void Machine::end(MachineEnd::Kind kind, std::string message) {
  {
    const std::lock_guard lock(mutex_);
    if (!ended_) ended_ = MachineEnd{kind, std::move(message)};
  }
  changed_.notify_all();
}

void Machine::on_guest_panic() {
  {
    const std::lock_guard lock(mutex_);
    panic_reported_ = true;
  }
  changed_.notify_all();
}

MachineEnd Machine::wait() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_ || panic_reported_; });
    if (!ended_) changed_.wait_for(lock, kPanicGrace, [this] { return ended_.has_value(); });
    if (!ended_) ended_ = MachineEnd{MachineEnd::Kind::kPanic, ""};
  }
  end_threads();
  mark(BootStage::kEnded);
  return final_outcome();
}

void Machine::end_threads() {
  for (const auto& vcpu : vcpus_)
    vcpu->stop();
  for (const auto& vcpu : vcpus_)
    vcpu->join();
  if (console_) console_->finish();
}

// A panic ends in a reset or a triple fault: report the panic, which says more.
MachineEnd Machine::final_outcome() {
  const std::lock_guard lock(mutex_);
  const bool ended_by_guest =
      ended_->kind != MachineEnd::Kind::kStopped && ended_->kind != MachineEnd::Kind::kPoweredOff;
  const std::string& text = console_->panic_message();
  if (ended_by_guest && (panic_reported_ || !text.empty())) {
    return MachineEnd{MachineEnd::Kind::kPanic,
                      text.empty() ? "the guest's kernel panicked" : "the guest's kernel panicked: " + text};
  }
  MachineEnd outcome = *ended_;
  if (outcome.kind == MachineEnd::Kind::kError) outcome.message += states_of_others();
  return outcome;
}

// The states of a few vCPUs that did not fail: they often explain the failure of another.
std::string Machine::states_of_others() const {
  std::string text;
  for (std::size_t i = 0; i < std::min(vcpus_.size(), kVcpusDescribed); ++i)
    if (!vcpus_[i]->failed()) text += fmt::format("; vCPU {}: {}", i, vcpus_[i]->state());
  return text;
}

Machine::~Machine() {
  end_threads();
}

std::uint64_t Machine::exits() const {
  std::uint64_t sum = 0;
  for (const auto& vcpu : vcpus_)
    sum += vcpu->exits();
  return sum;
}

}  // namespace glassbox
