// Drivers that break the rules.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/vmm/virtio/queue_fixture.h"

namespace glassbox::virtio {
namespace {

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
