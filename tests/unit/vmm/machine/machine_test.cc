// Machines with kernels assembled by hand, on whatever KVM there is: a few dozen instructions run in
// practical time even where guests are interpreted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/vmm/base/temp_dir.h"
#include "tests/unit/vmm/boot/kernel_builder.h"
#include "vmm/kvm/kvm.h"
#include "vmm/machine/machine.h"
#include "vmm/platform/layout.h"

namespace glassbox {
namespace {

using test::ByteVector;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr std::uint16_t kReportPort = 0x90;  // guests report here
constexpr GuestPhysAddr kData = test::kLoadAddress + 0x1000;

// Keeps what the guest writes, answers reads with a counter, lets a test wait for a report.
class Reports : public IoHandler {
 public:
  void io_read(unsigned /*vcpu*/, std::uint64_t offset, std::span<std::uint8_t> data) override {
    std::fill(data.begin(), data.end(), std::uint8_t{0});
    data[0] = static_cast<std::uint8_t>(0x40 + offset);
  }
  void io_write(unsigned /*vcpu*/, std::uint64_t offset, std::span<const std::uint8_t> data) override {
    std::uint64_t value = 0;
    std::memcpy(&value, data.data(), data.size());
    const std::lock_guard lock(mutex_);
    writes_.emplace_back(offset, value);
    changed_.notify_all();
  }
  // Waits until the n-th write (from 0) has come and returns it.
  std::pair<std::uint64_t, std::uint64_t> wait(std::size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return writes_.size() > n; });
    return writes_[n];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> writes_;
};

class MachineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto kvm = kvm::Kvm::open(); !kvm) GTEST_SKIP() << kvm.error().message;
  }

  MachineConfig config(const ByteVector& code) {
    const ByteVector kernel = test::elf_kernel(code);
    std::ofstream(temp_.path() / "kernel", std::ios::binary)
        .write(reinterpret_cast<const char*>(kernel.data()), static_cast<std::streamsize>(kernel.size()));
    MachineConfig config;
    config.kernel = temp_.path() / "kernel";
    config.memory_mib = 64;
    config.console_output = [this](std::span<const std::uint8_t> bytes) {
      console_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    return config;
  }

  // A machine with `code` and the report port.
  std::unique_ptr<Machine> machine(const ByteVector& code) {
    auto created = Machine::create(config(code));
    if (!created) throw std::runtime_error(created.error().message);
    if (!(*created)->services().map_pio(kReportPort, 4, &reports_)) {
      throw std::runtime_error("the report port is taken");
    }
    return std::move(*created);
  }

  MachineEnd run(const ByteVector& code) {
    const auto vm = machine(code);
    EXPECT_TRUE(vm->start());
    return vm->wait();
  }

  test::TempDir temp_;
  Reports reports_;
  std::string console_;  // read after wait()
};

// mov $0x600,%dx; mov $0x34,%al (SLP_EN, S5); out %al,(%dx); 1: hlt; jmp 1b
const ByteVector kPowerOff = test::bytes({0x66, 0xBA, 0x00, 0x06, 0xB0, 0x34, 0xEE, 0xF4, 0xEB, 0xFD});
// mov $0x602,%dx; mov $1,%al; out %al,(%dx); 1: hlt; jmp 1b
const ByteVector kReset = test::bytes({0x66, 0xBA, 0x02, 0x06, 0xB0, 0x01, 0xEE, 0xF4, 0xEB, 0xFD});
// mov $1,%al; out %al,$0x90; 1: jmp 1b
const ByteVector kSpin = test::bytes({0xB0, 0x01, 0xE6, 0x90, 0xEB, 0xFE});

// Puts `data` where kernels above 0x1000 bytes have it (kData).
ByteVector with_data(ByteVector code, const ByteVector& data) {
  code.resize(kData - test::kLoadAddress);
  test::append(code, data);
  return code;
}

TEST_F(MachineTest, PowerOff) {
  EXPECT_EQ(run(kPowerOff).kind, MachineEnd::Kind::kPoweredOff);
}

TEST_F(MachineTest, Reset) {
  EXPECT_EQ(run(kReset).kind, MachineEnd::Kind::kReset);
}

TEST_F(MachineTest, KeyboardControllerReset) {
  // mov $0xfe,%al; out %al,$0x64; 1: hlt; jmp 1b
  EXPECT_EQ(run(test::bytes({0xB0, 0xFE, 0xE6, 0x64, 0xF4, 0xEB, 0xFD})).kind, MachineEnd::Kind::kReset);
}

TEST_F(MachineTest, PanicPortThenResetIsAPanic) {
  // mov $0x505,%dx; mov $1,%al; out %al,(%dx)
  ByteVector code = test::bytes({0x66, 0xBA, 0x05, 0x05, 0xB0, 0x01, 0xEE});
  test::append(code, kReset);
  EXPECT_EQ(run(code).kind, MachineEnd::Kind::kPanic);
}

// What a kernel does that has no pvpanic driver: it says so on the console and resets.
// mov $kData,%esi; mov $0x3f8,%dx; mov $size,%ecx; rep outsb; then kReset
ByteVector print_and_reset(const std::string& text) {
  ByteVector code = test::bytes({0xBE, 0x00, 0x10, 0x10, 0x00, 0x66, 0xBA, 0xF8, 0x03, 0xB9,
                                 static_cast<unsigned>(text.size()), 0x00, 0x00, 0x00, 0xF3, 0x6E});
  test::append(code, kReset);
  ByteVector data;
  for (const char c : text)
    data.push_back(static_cast<std::byte>(c));
  return with_data(std::move(code), data);
}

TEST_F(MachineTest, ConsoleOutputArrives) {
  EXPECT_EQ(run(print_and_reset("hello\n")).kind, MachineEnd::Kind::kReset);
  EXPECT_EQ(console_, "hello\n");
}

TEST_F(MachineTest, PanicLineThenResetIsAPanicWithItsReason) {
  const MachineEnd outcome = run(print_and_reset("Kernel panic - not syncing: test\n"));
  EXPECT_EQ(outcome.kind, MachineEnd::Kind::kPanic);
  EXPECT_THAT(outcome.message, HasSubstr("panicked: test"));
}

TEST_F(MachineTest, TripleFaultIsAnErrorThatSaysSo) {
  // lidt kData (limit 0: no interrupt table); ud2
  MachineConfig two =
      config(with_data(test::bytes({0x0F, 0x01, 0x1D, 0x00, 0x10, 0x10, 0x00, 0x0F, 0x0B}), ByteVector(8)));
  two.vcpus = 2;
  const auto vm = Machine::create(two);
  ASSERT_TRUE(vm) << vm.error().message;
  ASSERT_TRUE((*vm)->start());
  const MachineEnd outcome = (*vm)->wait();
  EXPECT_EQ(outcome.kind, MachineEnd::Kind::kError);
  EXPECT_THAT(outcome.message, HasSubstr("vCPU 0: triple fault"));
  EXPECT_THAT(outcome.message, AnyOf(HasSubstr("KVM has reset the vCPU"),
                                     AllOf(HasSubstr("protected mode"), HasSubstr("idt 0x0+0x0"))));
  EXPECT_THAT(outcome.message, testing::EndsWith("; vCPU 1: not started"));
  EXPECT_EQ((*vm)->wait().message, outcome.message);
}

TEST_F(MachineTest, StopEndsAGuestThatNeverExits) {
  const auto vm = machine(kSpin);
  ASSERT_TRUE(vm->start());
  EXPECT_EQ(reports_.wait(0).second, 1U);
  std::thread stopper([&] { vm->stop(); });
  EXPECT_EQ(vm->wait().kind, MachineEnd::Kind::kStopped);
  stopper.join();
}

TEST_F(MachineTest, StopBeforeStartAndDestructionWithoutStart) {
  const auto vm = machine(kSpin);
  vm->stop();
  EXPECT_EQ(vm->wait().kind, MachineEnd::Kind::kStopped);
  machine(kSpin);
}

TEST_F(MachineTest, MoreVcpusStayQuietUntilTheyAreStarted) {
  MachineConfig four = config(kPowerOff);
  four.vcpus = 4;
  auto vm = Machine::create(std::move(four));
  ASSERT_TRUE(vm) << vm.error().message;
  ASSERT_TRUE((*vm)->start());
  EXPECT_EQ((*vm)->wait().kind, MachineEnd::Kind::kPoweredOff);
}

TEST_F(MachineTest, RegisterBlocksAndDoorbells) {
  const auto vm = machine(test::bytes({
      0xBB, 0x00, 0x00, 0x00, 0xC0,        // mov $0xc0000000,%ebx
      0x8B, 0x43, 0x04,                    // mov 4(%ebx),%eax
      0x83, 0xC0, 0x01,                    // add $1,%eax
      0x89, 0x43, 0x08,                    // mov %eax,8(%ebx)
      0x66, 0xC7, 0x43, 0x10, 0x07, 0x00,  // movw $7,0x10(%ebx): a doorbell
      0x66, 0xC7, 0x43, 0x12, 0x07, 0x00,  // movw $7,0x12(%ebx): none
      0xBB, 0x00, 0xF0, 0x00, 0xC0,        // mov $0xc000f000,%ebx
      0x8B, 0x03,                          // mov (%ebx),%eax: nobody there
      0xE7, 0x90,                          // out %eax,$0x90
      0xF4, 0xEB, 0xFD,                    // 1: hlt; jmp 1b
  }));
  Reports registers;
  ASSERT_TRUE(vm->services().map_mmio(layout::kPciMemBase, 0x1000, &registers));
  const UniqueFd doorbell(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  ASSERT_TRUE(vm->services().assign_ioeventfd(layout::kPciMemBase + 0x10, 2, doorbell.get()));
  ASSERT_TRUE(vm->start());
  EXPECT_EQ(reports_.wait(0).second, 0xFFFFFFFFU);
  EXPECT_EQ(registers.wait(0), (std::pair<std::uint64_t, std::uint64_t>{8, 0x45}));
  EXPECT_EQ(registers.wait(1), (std::pair<std::uint64_t, std::uint64_t>{0x12, 7}));
  std::uint64_t rings = 0;
  EXPECT_EQ(::read(doorbell.get(), &rings, sizeof(rings)), static_cast<ssize_t>(sizeof(rings)));
  EXPECT_EQ(rings, 1U);
  vm->stop();
  (void)vm->wait();
}

// As VMX wants it: KVM then needs only the address, and emulates no instruction.
TEST_F(MachineTest, ADoorbellTakesAStoreOfAnyLength) {
  const auto vm = machine(test::bytes({
      0xBB, 0x00, 0x00, 0x00, 0xC0,              // mov $0xc0000000,%ebx
      0xC7, 0x43, 0x10, 0x07, 0x00, 0x00, 0x00,  // movl $7,0x10(%ebx): a doorbell
      0x66, 0xC7, 0x43, 0x12, 0x07, 0x00,        // movw $7,0x12(%ebx): none
      0xF4, 0xEB, 0xFD,                          // 1: hlt; jmp 1b
  }));
  Reports registers;
  ASSERT_TRUE(vm->services().map_mmio(layout::kPciMemBase, 0x1000, &registers));
  const UniqueFd doorbell(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  ASSERT_TRUE(vm->services().assign_ioeventfd(layout::kPciMemBase + 0x10, 2, doorbell.get()));
  ASSERT_TRUE(vm->start());
  EXPECT_EQ(registers.wait(0), (std::pair<std::uint64_t, std::uint64_t>{0x12, 7}));
  std::uint64_t rings = 0;
  EXPECT_EQ(::read(doorbell.get(), &rings, sizeof(rings)), static_cast<ssize_t>(sizeof(rings)));
  EXPECT_EQ(rings, 1U);
  vm->stop();
  (void)vm->wait();
  EXPECT_TRUE(vm->services().deassign_ioeventfd(layout::kPciMemBase + 0x10, 2, doorbell.get()));
}

// Bits 11 and 12: BTS and PEBS are not available.
TEST(FirmwareMsrs, KeepWhatKvmSaysIsNotThere) {
  const auto msrs = firmware_msrs(0x1800);
  EXPECT_EQ(msrs[0].index, 0x1A0U);
  EXPECT_EQ(msrs[0].data, 0x1801U);
}

TEST(DefaultCommandLine, LeavesThePmuToTheUser) {
  EXPECT_NE(default_command_line().find("nmi_watchdog=0"), std::string::npos);
}

TEST_F(MachineTest, BlocksOverRamAreRefused) {
  const auto vm = machine(kPowerOff);
  EXPECT_FALSE(vm->services().map_mmio(0, 0x1000, &reports_));
  EXPECT_FALSE(vm->services().map_mmio((64 << 20) - 1, 0x1000, &reports_));
  EXPECT_TRUE(vm->services().map_mmio(64 << 20, 0x1000, &reports_));
}

// A guest with an interrupt table whose every vector reports itself.
class InterruptTest : public MachineTest {
 protected:
  static constexpr std::size_t kIdt = 0x100;     // offsets from kData
  static constexpr std::size_t kStubs = 0x1000;  // by vector
  static constexpr std::size_t kStubSize = 32;

  static ByteVector guest() {
    ByteVector data(kStubs + 256 * kStubSize);
    const auto address = [](std::size_t offset) { return static_cast<std::uint32_t>(kData + offset); };
    struct [[gnu::packed]] TableRegister {
      std::uint16_t limit;
      std::uint32_t base;
    };
    test::store(data, 0x00, TableRegister{0x17, address(0x20)});    // GDT
    test::store(data, 0x10, TableRegister{0x7FF, address(kIdt)});   // IDT
    test::store(data, 0x28, std::uint64_t{0x00CF'9B00'0000'FFFF});  // 0x08: code
    test::store(data, 0x30, std::uint64_t{0x00CF'9300'0000'FFFF});  // 0x10: data
    for (std::size_t vector = 0; vector < 256; ++vector) {
      const std::uint32_t stub = address(kStubs + vector * kStubSize);
      const std::uint64_t gate =
          (std::uint64_t{stub & 0xFFFF'0000} << 32) | (0x8E00ULL << 32) | (0x08U << 16) | (stub & 0xFFFF);
      test::store(data, kIdt + vector * 8, gate);
      // mov $vector,%al; out %al,$0x90; movl $0,0xfee000b0 (EOI)
      ByteVector code = test::bytes({0xB0, static_cast<unsigned>(vector), 0xE6, 0x90});
      test::append(code, test::bytes({0xC7, 0x05, 0xB0, 0x00, 0xE0, 0xFE, 0x00, 0x00, 0x00, 0x00}));
      // mov $0x80000,%esp; sti; 1: hlt; jmp 1b. No iret: a KVM that interprets may not know it.
      test::append(code, test::bytes({0xBC, 0x00, 0x00, 0x08, 0x00, 0xFB, 0xF4, 0xEB, 0xFD}));
      std::copy(code.begin(), code.end(),
                data.begin() + static_cast<std::ptrdiff_t>(kStubs + vector * kStubSize));
    }
    // mov $0x80000,%esp; lgdt kData; lidt kData + 0x10
    ByteVector code = test::bytes({0xBC, 0x00, 0x00, 0x08, 0x00, 0x0F, 0x01, 0x15, 0x00, 0x10, 0x10, 0x00});
    test::append(code, test::bytes({0x0F, 0x01, 0x1D, 0x10, 0x10, 0x10, 0x00}));
    // movl $0x1ff,0xfee000f0: local APIC on
    test::append(code, test::bytes({0xC7, 0x05, 0xF0, 0x00, 0xE0, 0xFE, 0xFF, 0x01, 0x00, 0x00}));
    // movl $0x18,0xfec00000; movl $0x34,0xfec00010: I/O APIC, pin 4 to vector 0x34, edge, not masked
    test::append(code, test::bytes({0xC7, 0x05, 0x00, 0x00, 0xC0, 0xFE, 0x18, 0x00, 0x00, 0x00}));
    test::append(code, test::bytes({0xC7, 0x05, 0x10, 0x00, 0xC0, 0xFE, 0x34, 0x00, 0x00, 0x00}));
    // sti; mov $1,%al; out %al,$0x90; 1: hlt; jmp 1b
    test::append(code, test::bytes({0xFB, 0xB0, 0x01, 0xE6, 0x90, 0xF4, 0xEB, 0xFD}));
    return with_data(std::move(code), data);
  }

  static void ring(const UniqueFd& event) {
    const std::uint64_t one = 1;
    ASSERT_EQ(::write(event.get(), &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  }
};

TEST_F(InterruptTest, MessagesReachTheGuestByIrqfdAndMayBeMoved) {
  const auto vm = machine(guest());
  VmServices& services = vm->services();
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  const auto gsi = services.alloc_gsi();
  ASSERT_TRUE(gsi);
  ASSERT_TRUE(services.set_msi(*gsi, {layout::kLocalApic, 0x41}));
  ASSERT_TRUE(services.assign_irqfd(event.get(), *gsi));
  ASSERT_TRUE(vm->start());
  ASSERT_EQ(reports_.wait(0).second, 1U);
  ring(event);
  EXPECT_EQ(reports_.wait(1).second, 0x41U);
  ASSERT_TRUE(services.set_msi(*gsi, {layout::kLocalApic, 0x52}));
  ring(event);
  EXPECT_EQ(reports_.wait(2).second, 0x52U);
  EXPECT_TRUE(services.deassign_irqfd(event.get(), *gsi));
  vm->stop();
  (void)vm->wait();
}

TEST_F(InterruptTest, PinsOfTheIoApicTakeEdges) {
  const auto vm = machine(guest());
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  ASSERT_TRUE(vm->services().assign_irqfd(event.get(), layout::kSerialIrq));
  ASSERT_TRUE(vm->start());
  ASSERT_EQ(reports_.wait(0).second, 1U);
  ring(event);
  EXPECT_EQ(reports_.wait(1).second, 0x34U);
  ring(event);
  EXPECT_EQ(reports_.wait(2).second, 0x34U);
  vm->stop();
  (void)vm->wait();
}

TEST_F(InterruptTest, GsisThatWereNotHandedOutAreRefused) {
  const auto vm = machine(kPowerOff);
  EXPECT_FALSE(vm->services().set_msi(layout::kSerialIrq, {layout::kLocalApic, 0x41}));
  EXPECT_FALSE(vm->services().set_msi(layout::kIoApicPins, {layout::kLocalApic, 0x41}));
}

// 64-bit entry: a kernel without a PVH note.
TEST_F(MachineTest, SixtyFourBitProtocol) {
  // mov %rsi,%rax (the zero page); out %eax,$0x90; 1: hlt; jmp 1b
  const ByteVector code = test::bytes({0x48, 0x89, 0xF0, 0xE7, 0x90, 0xF4, 0xEB, 0xFD});
  MachineConfig configuration = config(code);
  const ByteVector kernel = test::elf_kernel(code, false);
  std::ofstream(configuration.kernel, std::ios::binary)
      .write(reinterpret_cast<const char*>(kernel.data()), static_cast<std::streamsize>(kernel.size()));
  auto vm = Machine::create(std::move(configuration));
  ASSERT_TRUE(vm) << vm.error().message;
  ASSERT_TRUE((*vm)->services().map_pio(kReportPort, 4, &reports_));
  ASSERT_TRUE((*vm)->start());
  EXPECT_EQ(reports_.wait(0).second, layout::kZeroPage);
  (*vm)->stop();
  (void)(*vm)->wait();
}

TEST_F(MachineTest, ImpossibleConfigurationsAreNamed) {
  const auto message = [&](auto change) {
    MachineConfig bad = config(kPowerOff);
    change(bad);
    const auto vm = Machine::create(std::move(bad));
    if (!vm) return vm.error().message;
    const Status started = (*vm)->start();
    return started ? std::string("accepted") : started.error().message;
  };
  EXPECT_THAT(message([](MachineConfig& c) { c.vcpus = 0; }), HasSubstr("--vcpus"));
  EXPECT_THAT(message([](MachineConfig& c) { c.vcpus = 1000; }), HasSubstr("--vcpus"));
  EXPECT_THAT(message([](MachineConfig& c) { c.memory_mib = 1; }), HasSubstr("memory"));
  EXPECT_THAT(message([](MachineConfig& c) { c.memory_mib = 1 << 23; }), HasSubstr("more than"));
  EXPECT_THAT(message([](MachineConfig& c) { c.kernel = "/nowhere"; }), HasSubstr("kernel /nowhere"));
  EXPECT_THAT(message([](MachineConfig& c) { c.initrd = "/nowhere"; }), HasSubstr("initrd /nowhere"));
}

}  // namespace
}  // namespace glassbox
