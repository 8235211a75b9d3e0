#include "vmm/virtio/queue.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>

#include "tests/unit/virtio/driver_queue.h"
#include "tests/unit/virtio/fake_vm.h"
#include "vmm/virtio/iovec.h"

namespace glassbox::virtio {
namespace {

using fake::DriverQueue;
using fake::kIndirect;
using fake::kNext;
using fake::kWrite;

std::string text(std::span<const iovec> list) {
  std::string bytes(total_bytes(list), '\0');
  copy_from(list, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

class QueueTest : public testing::Test {
 protected:
  static constexpr std::uint16_t kSize = 8;

  void enable(Queue::Options options = {.event_idx = true, .indirect = true}) {
    ASSERT_TRUE(queue.enable(vm.memory(), driver.layout(), options));
  }
  void expect_fault(QueueFault fault) {
    EXPECT_FALSE(queue.pop(storage));
    EXPECT_EQ(queue.fault(), fault);
    EXPECT_FALSE(queue.pop(storage)) << "a broken queue yields nothing";
    EXPECT_TRUE(queue.arm()) << "and keeps nobody awake";
  }

  fake::FakeVm vm;
  DriverQueue driver{vm.memory(), kSize};
  Queue queue;
  std::array<iovec, Queue::kMaxSize> storage{};
};

TEST_F(QueueTest, PopsAndPushesInOrder) {
  enable();
  const auto head = driver.chain().readable("abc").readable("de").writable(10).writable(20).submit();
  auto chain = queue.pop(storage);
  ASSERT_TRUE(chain);
  EXPECT_EQ(text(chain->readable()), "abcde");
  EXPECT_EQ(chain->readable_bytes(), 5U);
  EXPECT_EQ(chain->writable().size(), 2U);
  EXPECT_EQ(chain->writable_bytes(), 30U);
  EXPECT_FALSE(queue.pop(std::span(storage).subspan(8)));
  copy_to(chain->writable(), std::as_bytes(std::span(std::string_view("twelve bytes"))));
  queue.push(std::move(*chain), 12);
  EXPECT_FALSE(driver.take_used()) << "not before publish()";
  EXPECT_TRUE(queue.publish());
  const auto used = driver.take_used();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->id, head);
  EXPECT_EQ(driver.written(*used), "twelve bytes");
}

TEST_F(QueueTest, ForgottenChainIsReturnedEmpty) {
  enable();
  driver.chain().writable(10).submit();
  { auto chain = queue.pop(storage); }
  EXPECT_TRUE(queue.publish());
  EXPECT_EQ(driver.take_used()->length, 0U);
}

TEST_F(QueueTest, UnpoppedChainComesAgain) {
  enable();
  driver.chain().readable("a").submit();
  driver.chain().readable("b").submit();
  auto first = queue.pop(storage);
  auto second = queue.pop(std::span(storage).subspan(1));
  queue.unpop(std::move(*second));
  queue.unpop(std::move(*first));
  EXPECT_EQ(text(queue.pop(storage)->readable()), "a");
  EXPECT_EQ(text(queue.pop(storage)->readable()), "b");
}

TEST_F(QueueTest, IndirectTable) {
  enable();
  driver.chain().readable("hello ").readable("world").writable(7).indirect().submit();
  auto chain = queue.pop(storage);
  ASSERT_TRUE(chain);
  EXPECT_EQ(text(chain->readable()), "hello world");
  EXPECT_EQ(chain->writable_bytes(), 7U);
}

TEST_F(QueueTest, DirectDescriptorsMayEndInAnIndirectTable) {
  enable();
  const auto table = driver.buffer(16);
  const auto data = driver.buffer(4);
  ASSERT_TRUE(vm.memory().write(table, fake::RawDescriptor{data, 4, kWrite, 0}));
  driver.chain().readable("x").raw({table, 16, kIndirect, 0}).submit();
  auto chain = queue.pop(storage);
  ASSERT_TRUE(chain);
  EXPECT_EQ(chain->writable_bytes(), 4U);
}

TEST_F(QueueTest, ZeroLengthDescriptorsCarryNothing) {
  enable();
  driver.chain().readable("").readable("a").raw({~0ULL, 0, 0, 0}).writable(0).submit();
  auto chain = queue.pop(storage);
  ASSERT_TRUE(chain);
  EXPECT_EQ(text(chain->readable()), "a");
  EXPECT_TRUE(chain->writable().empty());
}

TEST_F(QueueTest, HostileIndirectWithoutFeature) {
  enable({.event_idx = true, .indirect = false});
  driver.chain().readable("a").indirect().submit();
  expect_fault(QueueFault::kIndirect);
}

TEST_F(QueueTest, HostileNestedIndirect) {
  enable();
  driver.chain().raw({driver.buffer(16), 16, kIndirect, 0}).indirect().submit();
  expect_fault(QueueFault::kIndirect);
}

TEST_F(QueueTest, HostileIndirectWithNext) {
  enable();
  driver.chain().raw({driver.buffer(16), 16, kIndirect, 0}).readable("a").submit();
  expect_fault(QueueFault::kIndirect);
}

TEST_F(QueueTest, HostileIndirectLength) {
  for (const std::uint32_t length : {0U, 8U, 17U, 0xFFFF'FFFFU}) {
    DriverQueue fresh(vm.memory(), kSize);
    ASSERT_TRUE(queue.enable(vm.memory(), fresh.layout(), {.event_idx = true, .indirect = true}));
    fresh.chain().raw({fresh.buffer(16), length, kIndirect, 0}).submit();
    expect_fault(QueueFault::kIndirect);
  }
}

TEST_F(QueueTest, HostileIndirectTableOutsideMemory) {
  enable();
  driver.chain().raw({fake::FakeVm::kMemoryBytes - 16, 32, kIndirect, 0}).submit();
  expect_fault(QueueFault::kAddress);
}

TEST_F(QueueTest, HostileNextInIndirectTableOutsideIt) {
  enable();
  const auto table = driver.buffer(16);
  ASSERT_TRUE(vm.memory().write(table, fake::RawDescriptor{driver.buffer(1), 1, kNext, 1}));
  driver.chain().raw({table, 16, kIndirect, 0}).submit();
  expect_fault(QueueFault::kHead);
}

TEST_F(QueueTest, HostileAddresses) {
  const std::pair<std::uint64_t, std::uint32_t> cases[] = {
      {fake::FakeVm::kMemoryBytes, 1},      // just behind
      {fake::FakeVm::kMemoryBytes - 1, 2},  // across the end
      {~0ULL, 1},                           // the last byte there is
      {~0ULL - 1, 0xFFFF'FFFF},             // wraps around
      {0, 0xFFFF'FFFF},                     // longer than memory
  };
  for (const auto& [address, length] : cases) {
    DriverQueue fresh(vm.memory(), kSize);
    ASSERT_TRUE(queue.enable(vm.memory(), fresh.layout(), {}));
    fresh.chain().raw({address, length, kWrite, 0}).submit();
    expect_fault(QueueFault::kAddress);
  }
}

TEST_F(QueueTest, HostileTotalLengthOverflows) {
  // Every buffer lies in memory; only their sum does not fit.
  enable();
  Queue big;
  DriverQueue many(vm.memory(), 256, 2);
  ASSERT_TRUE(big.enable(vm.memory(), many.layout(), {}));
  auto chain = many.chain();
  for (int i = 0; i < 256; ++i)
    chain.raw({0, fake::FakeVm::kMemoryBytes + 0U, kWrite, 0});
  chain.submit();  // 256 x 16 MiB = 2^32
  EXPECT_FALSE(big.pop(storage));
  EXPECT_EQ(big.fault(), QueueFault::kBytes);
}

TEST_F(QueueTest, HostileLoop) {
  enable();
  driver.put(0, {driver.buffer(1), 1, kNext, 1});
  driver.put(1, {driver.buffer(1), 1, kNext, 0});
  driver.make_available(0);
  expect_fault(QueueFault::kChainLength);
}

TEST_F(QueueTest, HostileLoopOfNothing) {
  enable();
  driver.put(3, {0, 0, kNext, 3});
  driver.make_available(3);
  expect_fault(QueueFault::kChainLength);
}

TEST_F(QueueTest, HostileIndirectChainLongerThanTheQueue) {
  enable();
  auto fits = driver.chain();
  for (int i = 0; i < kSize - 1; ++i)
    fits.writable(1);
  fits.indirect().submit();  // with the descriptor that points to the table: as many as the queue has
  EXPECT_TRUE(queue.pop(storage));
  auto chain = driver.chain();
  for (int i = 0; i < kSize; ++i)
    chain.writable(1);
  chain.indirect().submit();
  expect_fault(QueueFault::kChainLength);
}

TEST_F(QueueTest, HostileHeadAndNext) {
  enable();
  driver.make_available(kSize);
  expect_fault(QueueFault::kHead);
  DriverQueue fresh(vm.memory(), kSize);
  enable();
  fresh.put(0, {fresh.buffer(1), 1, kNext, 0xFFFF});
  fresh.make_available(0);
  expect_fault(QueueFault::kHead);
}

TEST_F(QueueTest, HostileOrder) {
  enable();
  driver.chain().writable(1).readable("a").submit();
  expect_fault(QueueFault::kOrder);
}

TEST_F(QueueTest, HostileAvailableIndexJumps) {
  enable();
  driver.set_available_index(kSize + 1);
  expect_fault(QueueFault::kAvailableIndex);
  enable();  // backwards is a jump of nearly 2^16
  driver.set_available_index(0xFFFF);
  expect_fault(QueueFault::kAvailableIndex);
}

TEST_F(QueueTest, ChainLongerThanTheStorage) {
  enable();
  driver.chain().writable(1).writable(1).writable(1).submit();
  EXPECT_FALSE(queue.pop(std::span(storage).first(2)));
  EXPECT_EQ(queue.fault(), QueueFault::kChainLength);
}

TEST_F(QueueTest, LayoutsThatBreakTheRules) {
  const Queue::Layout good = driver.layout();
  const auto refused = [&](auto change) {
    Queue::Layout layout = good;
    change(layout);
    return !queue.enable(vm.memory(), layout, {}) && !queue.enabled();
  };
  EXPECT_TRUE(refused([](auto& l) { l.size = 0; }));
  EXPECT_TRUE(refused([](auto& l) { l.size = 3; }));
  EXPECT_TRUE(refused([](auto& l) { l.size = 512; }));
  EXPECT_TRUE(refused([](auto& l) { l.descriptors += 8; }));
  EXPECT_TRUE(refused([](auto& l) { l.available += 1; }));
  EXPECT_TRUE(refused([](auto& l) { l.used += 2; }));
  EXPECT_TRUE(refused([](auto& l) { l.descriptors = fake::FakeVm::kMemoryBytes - 64; }));
  EXPECT_TRUE(refused([](auto& l) { l.used = ~0ULL & ~3ULL; }));
}

TEST_F(QueueTest, EventIndexSuppressesInterrupts) {
  enable();
  const auto use_one = [&] {
    driver.chain().readable("a").submit();
    queue.push(std::move(*queue.pop(storage)), 0);
    return queue.publish();
  };
  driver.set_used_event(0);
  EXPECT_TRUE(use_one());   // 0 -> 1 passes 0
  EXPECT_FALSE(use_one());  // 1 -> 2: the driver did not look on
  driver.set_used_event(3);
  EXPECT_FALSE(use_one());  // 2 -> 3 does not pass 3
  EXPECT_TRUE(use_one());   // 3 -> 4 does
  EXPECT_FALSE(queue.publish()) << "nothing new, no interrupt";
}

TEST_F(QueueTest, WhatIsPublishedUntoldTwiceIsStillUntold) {
  enable();
  driver.set_used_event(0);
  for (int i = 0; i < 2; ++i) {
    driver.chain().readable("a").submit();
    queue.push(std::move(*queue.pop(storage)), 0);
    queue.publish_untold();
    EXPECT_TRUE(queue.untold()) << i;
  }
  EXPECT_TRUE(queue.publish()) << "the driver waits for the first of them";
  EXPECT_FALSE(queue.untold());
}

TEST_F(QueueTest, NoInterruptFlagWithoutEventIndex) {
  enable({});
  driver.chain().readable("a").submit();
  queue.push(std::move(*queue.pop(storage)), 0);
  driver.set_no_interrupt(true);
  EXPECT_FALSE(queue.publish());
  driver.chain().readable("a").submit();
  queue.push(std::move(*queue.pop(storage)), 0);
  driver.set_no_interrupt(false);
  EXPECT_TRUE(queue.publish());
}

TEST_F(QueueTest, ArmAsksAndLooksAgain) {
  enable();
  EXPECT_TRUE(queue.arm());
  EXPECT_EQ(driver.available_event(), 0);
  driver.chain().readable("a").submit();
  EXPECT_FALSE(queue.arm()) << "came in before the barrier";
  queue.push(std::move(*queue.pop(storage)), 0);
  EXPECT_TRUE(queue.arm());
  EXPECT_EQ(driver.available_event(), 1);
}

TEST_F(QueueTest, DisarmWithoutEventIndexSetsTheFlag) {
  enable({});
  queue.disarm();
  EXPECT_TRUE(driver.no_notify());
  EXPECT_TRUE(queue.arm());
  EXPECT_FALSE(driver.no_notify());
}

TEST_F(QueueTest, DisabledQueueIsQuiet) {
  EXPECT_FALSE(queue.pop(storage));
  EXPECT_FALSE(queue.publish());
  EXPECT_TRUE(queue.arm());
  enable();
  driver.chain().readable("a").submit();
  auto chain = queue.pop(storage);
  queue.disable();
  queue.push(std::move(*chain), 0);  // reset while the chain was out: nothing is written anywhere
  EXPECT_EQ(driver.used_index(), 0);
}

// Whatever a driver does in legal terms, every chain comes back once, in order, across index wraps.
RC_GTEST_PROP(QueueProperty, EveryChainComesBackOnce, ()) {
  fake::FakeVm vm;
  constexpr std::uint16_t kSize = 16;
  DriverQueue driver(vm.memory(), kSize);
  Queue queue;
  RC_ASSERT(queue.enable(vm.memory(), driver.layout(), {.event_idx = true, .indirect = true}));
  std::array<iovec, Queue::kMaxSize> storage{};
  std::vector<std::pair<std::uint16_t, std::uint32_t>> expected;
  const auto rounds = *rc::gen::inRange(1, 200);
  for (int round = 0; round < rounds; ++round) {
    const auto chains = *rc::gen::inRange(1, 6);
    for (int i = 0; i < chains; ++i) {
      const auto length = *rc::gen::inRange<std::uint32_t>(1, 3000);
      auto chain = driver.chain();
      chain.readable("request").writable(length);
      if (*rc::gen::arbitrary<bool>()) chain.indirect();
      expected.emplace_back(chain.submit(), length);
    }
    while (auto chain = queue.pop(storage)) {
      const auto length = chain->writable_bytes();
      queue.push(std::move(*chain), length);
    }
    RC_ASSERT(queue.fault() == QueueFault::kNone);
    (void)queue.publish();
    for (const auto& [head, length] : expected) {
      const auto used = driver.take_used();
      RC_ASSERT(used.has_value());
      RC_ASSERT(used->id == head);
      RC_ASSERT(used->length == length);
    }
    expected.clear();
  }
}

// Whatever bytes a driver leaves in table and rings: no fault of ours, every iovec within guest memory, and
// the device's loop ends.
RC_GTEST_PROP(QueueProperty, GarbageIsHarmless, ()) {
  fake::FakeVm vm;
  constexpr std::uint16_t kSize = 8;
  DriverQueue driver(vm.memory(), kSize);
  Queue queue;
  RC_ASSERT(queue.enable(vm.memory(), driver.layout(), {.event_idx = true, .indirect = true}));
  for (std::uint16_t i = 0; i < kSize; ++i) {
    driver.put(i,
               {*rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, fake::FakeVm::kMemoryBytes + 4096),
                                rc::gen::arbitrary<std::uint64_t>()),
                *rc::gen::oneOf(rc::gen::inRange<std::uint32_t>(0, 128), rc::gen::arbitrary<std::uint32_t>()),
                *rc::gen::inRange<std::uint16_t>(0, 8), *rc::gen::inRange<std::uint16_t>(0, kSize + 2)});
  }
  const auto count = *rc::gen::inRange<std::uint16_t>(1, kSize + 2);
  for (std::uint16_t i = 0; i < count; ++i)
    driver.make_available(*rc::gen::inRange<std::uint16_t>(0, kSize + 1));
  std::array<iovec, Queue::kMaxSize> storage{};
  const auto& ram = vm.memory().regions().front();
  while (auto chain = queue.pop(storage)) {
    for (const auto& list : {chain->readable(), chain->writable()}) {
      for (const iovec& part : list) {
        auto* start = static_cast<std::byte*>(part.iov_base);
        RC_ASSERT(start >= ram.host && start + part.iov_len <= ram.host + ram.size);
      }
    }
  }
}

}  // namespace
}  // namespace glassbox::virtio
