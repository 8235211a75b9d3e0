// Platform devices without a machine around them: UART, console, panic watch, power ports.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "vmm/base/unique_fd.h"
#include "vmm/devices/console.h"
#include "vmm/devices/panic_watch.h"
#include "vmm/devices/power.h"
#include "vmm/devices/serial.h"

namespace glassbox::devices {
namespace {

using ::testing::HasSubstr;

class Collector : public ByteSink {
 public:
  void put(std::uint8_t byte) override { text.push_back(static_cast<char>(byte)); }
  void input_wanted() override { ++wanted; }
  std::string text;
  int wanted = 0;
};

class SerialTest : public ::testing::Test {
 protected:
  std::uint8_t in(unsigned reg) {
    std::uint8_t value = 0;
    serial_.io_read(0, reg, {&value, 1});
    return value;
  }
  void out(unsigned reg, std::uint8_t value) { serial_.io_write(0, reg, {&value, 1}); }
  // Edges since the last call.
  std::uint64_t edges() {
    std::uint64_t count = 0;
    return ::read(irq_.get(), &count, sizeof(count)) == sizeof(count) ? count : 0;
  }
  UniqueFd irq_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  Collector sink_;
  Serial serial_{irq_.get(), &sink_};
};

TEST_F(SerialTest, OutputGoesStraightThrough) {
  for (const char c : std::string("hi"))
    out(0, static_cast<std::uint8_t>(c));
  EXPECT_EQ(sink_.text, "hi");
  EXPECT_EQ(in(5), 0x60);
  EXPECT_EQ(edges(), 0U);
}

// Input waits until the FIFO has room: clearing it makes room, which the console must learn.
TEST_F(SerialTest, ClearingTheReceiveFifoAsksForInputAgain) {
  const std::vector<std::uint8_t> bytes(64, 'x');
  EXPECT_EQ(serial_.input(bytes), 64U);
  EXPECT_EQ(serial_.input_room(), 0U);
  out(2, 0x01 | 0x02);
  EXPECT_EQ(serial_.input_room(), 64U);
  EXPECT_EQ(sink_.wanted, 1);
  out(2, 0x01 | 0x02);
  EXPECT_EQ(sink_.wanted, 1) << "it was empty";
}

TEST_F(SerialTest, TransmitInterruptComesOnceUntilItIsRead) {
  out(1, 0x02);
  EXPECT_EQ(edges(), 1U);
  EXPECT_EQ(in(2) & 0x0F, 0x02);
  EXPECT_EQ(in(2) & 0x0F, 0x01);  // reading it took it
  for (int i = 0; i < 16; ++i)
    out(0, 'x');
  EXPECT_EQ(edges(), 1U);  // a burst is one edge
}

TEST_F(SerialTest, ReceivedBytesInterruptAndAreReadInOrder) {
  out(1, 0x01);
  const std::array<std::uint8_t, 2> bytes = {'a', 'b'};
  EXPECT_EQ(serial_.input(bytes), 2U);
  EXPECT_EQ(edges(), 1U);
  EXPECT_EQ(in(2) & 0x0F, 0x04);
  EXPECT_EQ(in(5) & 1, 1);
  EXPECT_EQ(in(0), 'a');
  EXPECT_EQ(sink_.wanted, 0);
  EXPECT_EQ(in(0), 'b');
  EXPECT_EQ(sink_.wanted, 1);
  EXPECT_EQ(in(5) & 1, 0);
  EXPECT_EQ(in(2) & 0x0F, 0x01);
}

TEST_F(SerialTest, InputBeyondTheFifoIsLeftToTheCaller) {
  const std::vector<std::uint8_t> bytes(1000, 'z');
  const std::size_t taken = serial_.input(bytes);
  EXPECT_LT(taken, bytes.size());
  EXPECT_EQ(serial_.input_room(), 0U);
  EXPECT_EQ(serial_.input(bytes), 0U);
}

TEST_F(SerialTest, ClearingTheFifoForgetsWhatWasReceived) {
  const std::array<std::uint8_t, 2> bytes = {'a', 'b'};
  EXPECT_EQ(serial_.input(bytes), 2U);
  out(2, 0x01);  // FIFO on
  EXPECT_EQ(in(5) & 1, 1) << "which clears nothing";
  out(2, 0x03);
  EXPECT_EQ(in(5) & 1, 0);
  EXPECT_EQ(in(0), 0);
}

TEST_F(SerialTest, DivisorLatchHidesDataAndInterruptEnable) {
  out(3, 0x80);
  out(0, 0x0C);
  out(1, 0x01);
  EXPECT_EQ(in(0), 0x0C);
  EXPECT_EQ(in(1), 0x01);
  out(3, 0x03);
  EXPECT_EQ(in(1), 0x00);
  EXPECT_TRUE(sink_.text.empty());
}

TEST_F(SerialTest, LoopbackAsLinuxProbesIt) {
  out(4, 0x1A);  // loop, OUT2, RTS
  EXPECT_EQ(in(6) & 0xF0, 0x90);
  out(0, 'q');
  EXPECT_EQ(in(0), 'q');
  EXPECT_TRUE(sink_.text.empty());
}

TEST_F(SerialTest, WideAccessesAreBytesOfNeighbours) {
  std::array<std::uint8_t, 8> all{};
  serial_.io_read(0, 0, all);
  EXPECT_EQ(all[5], 0x60);
  const std::array<std::uint8_t, 2> data = {'A', 0x00};
  serial_.io_write(0, 0, data);
  EXPECT_EQ(sink_.text, "A");
}

// Collects on the console's thread, and can hold it.
class Outside {
 public:
  Console::Output output() {
    return [this](std::span<const std::uint8_t> bytes) {
      std::unique_lock lock(mutex_);
      entered_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !held_; });
      text_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      changed_.notify_all();
    };
  }
  void hold() { set(true); }
  void release() { set(false); }
  void wait_until_entered() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return entered_; });
  }
  std::string wait_for(std::size_t size) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return text_.size() >= size; });
    return text_;
  }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  void set(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  bool entered_ = false;
  std::string text_;
};

struct ConsoleTest : ::testing::Test {
  UniqueFd irq{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  Outside outside;
};

TEST_F(ConsoleTest, PassesEverythingOnAtTheEnd) {
  auto console = Console::create(outside.output(), -1, irq.get());
  ASSERT_TRUE(console);
  ASSERT_TRUE((*console)->start());
  for (const char c : std::string("one\ntwo"))
    (*console)->put(static_cast<std::uint8_t>(c));
  (*console)->finish();
  EXPECT_EQ(outside.text(), "one\ntwo");
}

TEST_F(ConsoleTest, SlowOutsideCostsOutputAndSaysHowMuch) {
  auto console = Console::create(outside.output(), -1, irq.get());
  ASSERT_TRUE(console);
  ASSERT_TRUE((*console)->start());
  outside.hold();
  (*console)->put('!');
  outside.wait_until_entered();  // the thread has the first byte and stands still
  for (std::size_t i = 0; i < Console::kBufferBytes + 10; ++i)
    (*console)->put('x');  // does not block
  outside.release();
  (*console)->finish();
  EXPECT_THAT(outside.text(), HasSubstr("[glassbox: 10 bytes of console output dropped]"));
}

TEST_F(ConsoleTest, InputReachesTheUart) {
  int pipe_fds[2];
  ASSERT_EQ(::pipe(pipe_fds), 0);
  const UniqueFd reader(pipe_fds[0]);
  UniqueFd writer(pipe_fds[1]);
  auto console = Console::create(outside.output(), reader.get(), irq.get());
  ASSERT_TRUE(console);
  Serial& serial = (*console)->serial();
  const std::uint8_t loop_off = 0;
  serial.io_write(0, 4, {&loop_off, 1});
  ASSERT_TRUE((*console)->start());
  const std::string sent(200, 'k');  // more than the FIFO: it is fed again as we read
  ASSERT_EQ(::write(writer.get(), sent.data(), sent.size()), static_cast<ssize_t>(sent.size()));
  std::string got;
  while (got.size() < sent.size()) {
    std::uint8_t status = 0;
    serial.io_read(0, 5, {&status, 1});
    if ((status & 1) == 0) {
      std::this_thread::yield();
      continue;
    }
    std::uint8_t byte = 0;
    serial.io_read(0, 0, {&byte, 1});
    got.push_back(static_cast<char>(byte));
  }
  EXPECT_EQ(got, sent);
  writer.reset();  // end of file does not end the console
  (*console)->put('.');
  EXPECT_EQ(outside.wait_for(1), ".");
  (*console)->finish();
}

std::string watched(std::initializer_list<std::string_view> pieces) {
  PanicWatch watch;
  for (const std::string_view piece : pieces) {
    watch.feed({reinterpret_cast<const std::uint8_t*>(piece.data()), piece.size()});
  }
  return watch.message();
}

TEST(PanicWatchTest, FindsTheLineHoweverItIsCut) {
  EXPECT_EQ(watched({"[    1.5] Kernel panic - not syncing: No working init found.\r\n"}),
            "No working init found.");
  EXPECT_EQ(watched({"[    1.5] Kernel pa", "nic - not sync", "ing: Oh\n"}), "Oh");
  EXPECT_EQ(watched({"Kernel panic - not syncing: one\n---[ end Kernel panic - not syncing: two\n"}), "one");
  EXPECT_EQ(watched({"all is well\n", std::string(100'000, 'y'), "\n"}), "");
}

class FakeServices : public VmServices {
 public:
  const GuestMemory& memory() const override { throw std::logic_error("no memory here"); }
  Result<unsigned> alloc_gsi() override { return 0; }
  Status set_msi(unsigned, const MsiMessage&) override { return {}; }
  Status assign_irqfd(int, unsigned) override { return {}; }
  Status deassign_irqfd(int, unsigned) override { return {}; }
  Status assign_ioeventfd(GuestPhysAddr, unsigned, int) override { return {}; }
  Status deassign_ioeventfd(GuestPhysAddr, unsigned, int) override { return {}; }
  Status map_mmio(GuestPhysAddr, std::uint64_t, IoHandler*) override { return {}; }
  void unmap_mmio(GuestPhysAddr) override {}
  Status map_pio(std::uint16_t, std::uint16_t, IoHandler*) override { return {}; }
  KvmClocks kvm_clocks(unsigned) override { return {}; }
  void request_power_off() override { ++power_offs; }
  void request_reset() override { ++resets; }
  int power_offs = 0;
  int resets = 0;
};

void write_byte(IoHandler& device, std::uint64_t offset, std::uint8_t value) {
  device.io_write(0, offset, {&value, 1});
}

TEST(PowerTest, OnlySleepEnableWithTheTypeOfS5PowersOff) {
  FakeServices services;
  PowerPorts power(services);
  write_byte(power, 0, 5 << 2);               // no SLP_EN
  write_byte(power, 0, (1 << 5) | (3 << 2));  // S3, which does not exist here
  EXPECT_EQ(services.power_offs, 0);
  write_byte(power, 0, (1 << 5) | (5 << 2));
  EXPECT_EQ(services.power_offs, 1);
  write_byte(power, 2, 0);
  EXPECT_EQ(services.resets, 0);
  write_byte(power, 2, 1);
  EXPECT_EQ(services.resets, 1);
}

TEST(PowerTest, KeyboardControllerOnlyResets) {
  FakeServices services;
  KeyboardReset keyboard(services);
  std::uint8_t status = 0xFF;
  keyboard.io_read(0, 0, {&status, 1});
  EXPECT_EQ(status, 0);
  write_byte(keyboard, 0, 0xD1);
  EXPECT_EQ(services.resets, 0);
  write_byte(keyboard, 0, 0xFE);
  EXPECT_EQ(services.resets, 1);
}

}  // namespace
}  // namespace glassbox::devices
