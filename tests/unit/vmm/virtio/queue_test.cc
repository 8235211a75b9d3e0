// What a driver hands over, what it gets back, and when it is told.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/vmm/virtio/queue_fixture.h"

namespace glassbox::virtio {
namespace {

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
  iov_scatter(chain->writable(), std::as_bytes(std::span(std::string_view("twelve bytes"))));
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

TEST_F(QueueTest, AnInterruptStaysOwedHoweverOftenItIsPutOff) {
  enable();
  driver.set_used_event(0);
  for (int i = 0; i < 2; ++i) {
    driver.chain().readable("a").submit();
    queue.push(std::move(*queue.pop(storage)), 0);
    queue.publish_without_interrupt();
    EXPECT_TRUE(queue.interrupt_owed()) << i;
  }
  EXPECT_TRUE(queue.publish()) << "the driver waits for the first of them";
  EXPECT_FALSE(queue.interrupt_owed());
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

}  // namespace
}  // namespace glassbox::virtio
