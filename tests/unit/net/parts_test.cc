// The parts of the NAT that are pure or nearly so.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "net/link/checksum.h"
#include "net/link/ip_input.h"
#include "net/loop/timer_heap.h"
#include "net/tcp/byte_queue.h"
#include "net/tcp/tcp_flow_table.h"
#include "test_guest.h"
#include "vmm/base/iovec.h"

namespace glassbox::net {
namespace {

TEST(Seq, Wraps) {
  EXPECT_TRUE(seq_lt(0xffff'fff0, 5));
  EXPECT_TRUE(seq_gt(5, 0xffff'fff0));
  EXPECT_EQ(seq_max(0xffff'fff0, 5), 5U);
  EXPECT_EQ(seq_min(0xffff'fff0, 5), 0xffff'fff0);
  EXPECT_TRUE(seq_le(7, 7));
  EXPECT_FALSE(seq_lt(7, 7));
}

TEST(ChecksumSum, ExampleOfRfc1071) {
  const std::vector<std::uint8_t> data = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  Checksum sum;
  sum.add(data);
  EXPECT_EQ(sum.partial(), 0xddf2);
}

TEST(ChecksumSum, DoesNotDependOnHowTheDataIsCut) {
  std::mt19937 random(1);
  std::string data = pattern(3001);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(data.data());
  Checksum whole;
  whole.add(std::span(bytes, data.size()));
  for (int round = 0; round < 200; ++round) {
    Checksum cut;
    std::size_t at = 0;
    while (at < data.size()) {
      const std::size_t n = std::min<std::size_t>(random() % 50, data.size() - at);
      cut.add(std::span(bytes + at, n));
      at += n;
    }
    ASSERT_EQ(cut.value(), whole.value());
  }
}

TEST(ByteQueueFifo, ModelOfAString) {
  auto pool = std::move(*ChunkPool::create(64));
  ByteQueue queue;
  std::string model;
  std::mt19937 random(2);
  for (int round = 0; round < 20'000; ++round) {
    if (random() % 2 == 0) {
      std::string data = pattern(random() % 9000, random());
      const iovec piece{data.data(), data.size()};
      const std::size_t kept = queue.append(pool, std::span(&piece, 1), data.size());
      model += data.substr(0, kept);
      if (kept < data.size()) {
        EXPECT_EQ(pool.free_bytes(), 0U);
      }
    } else {
      const std::size_t n = random() % (model.size() + 1);
      queue.drop_front(pool, n);
      model.erase(0, n);
    }
    ASSERT_EQ(queue.size(), model.size());
    const std::size_t offset = random() % (model.size() + 1);
    std::array<iovec, 80> view;
    const std::size_t pieces = queue.view(pool, offset, 10'000, view);
    std::string seen;
    for (std::size_t i = 0; i < pieces; ++i) {
      seen.append(static_cast<const char*>(view[i].iov_base), view[i].iov_len);
    }
    ASSERT_EQ(seen, model.substr(offset, 10'000));
  }
  queue.clear(pool);
  EXPECT_EQ(pool.free_bytes(), pool.total_bytes());
}

TEST(TimerHeapOrder, AgainstAModel) {
  TimerHeap heap(200);
  std::map<std::uint32_t, std::uint64_t> model;
  std::mt19937 random(3);
  std::uint64_t now = 1;
  for (int round = 0; round < 50'000; ++round) {
    const std::uint32_t id = random() % 200;
    switch (random() % 3) {
      case 0:
        heap.set(id, now + 1 + random() % 1000);
        model[id] = 0;
        break;
      case 1:
        heap.remove(id);
        model.erase(id);
        break;
      default: {
        now += random() % 20;
        std::uint64_t last = 0;
        std::uint32_t due = 0;
        while (heap.next_due_ns() != 0 && heap.next_due_ns() <= now) {
          const std::uint64_t when = heap.next_due_ns();
          EXPECT_GE(when, last);
          last = when;
          ASSERT_TRUE(heap.pop_due(now, due));
          ASSERT_EQ(model.erase(due), 1U);
        }
        EXPECT_FALSE(heap.pop_due(now, due));
      }
    }
    ASSERT_EQ(heap.size(), model.size());
  }
}

TEST(TcpFlowTableHash, AgainstAModel) {
  auto table = std::move(*TcpFlowTable::create());
  std::map<std::uint16_t, std::uint32_t> model;  // port -> index
  const auto key = [](std::uint16_t port) {
    return FlowKey{IpAddress::from_v4(kGuestIp), IpAddress::from_v4(kGatewayIp), port, 80};
  };
  std::mt19937 random(4);
  for (int round = 0; round < 200'000; ++round) {
    const auto port = static_cast<std::uint16_t>(random() % 3000);
    TcpFlow* found = table->find(key(port));
    ASSERT_EQ(found != nullptr, model.contains(port));
    if (found == nullptr) {
      TcpFlow* flow = table->insert(key(port));
      ASSERT_NE(flow, nullptr);
      model[port] = flow->index;
    } else {
      ASSERT_EQ(found->index, model[port]);
      if (random() % 2 == 0) {
        table->erase(*found);
        model.erase(port);
      }
    }
    ASSERT_EQ(table->size(), model.size());
  }
  for (std::uint32_t i = 0; i < 65536 && table->insert(key(static_cast<std::uint16_t>(3000 + i))) != nullptr;
       ++i) {
  }
  EXPECT_EQ(table->size(), TcpFlowTable::kMaxFlows);
  EXPECT_EQ(table->insert({IpAddress{1, 2}, IpAddress{3, 4}, 5, 6}), nullptr);
}

TEST(IovSliceParts, DropAndTruncate) {
  std::string text = "abcdefghijklmnopqrstuvwxyz";
  const std::vector<iovec> pieces = {
      {text.data(), 5}, {text.data() + 5, 0}, {text.data() + 5, 11}, {text.data() + 16, 10}};
  auto slice = std::make_unique<IovSlice>();
  const auto content = [&] {
    std::string out;
    for (const iovec& piece : slice->span())
      out.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    EXPECT_EQ(out.size(), slice->bytes());
    return out;
  };
  for (std::size_t skip = 0; skip <= 26; ++skip) {
    for (std::size_t drop = 0; drop <= 10; ++drop) {
      for (std::size_t keep = 0; keep <= 12; keep += 3) {
        slice->assign(pieces, skip, 20);
        std::string model = text.substr(skip, 20);
        ASSERT_EQ(content(), model);
        slice->drop_front(drop);
        model.erase(0, drop);
        ASSERT_EQ(content(), model);
        slice->truncate(keep);
        ASSERT_EQ(content(), model.substr(0, keep));
      }
    }
  }
}

TcpHeader parse(const std::vector<std::uint8_t>& options) {
  const auto frame = build_segment({.seq = 1, .flags = kTcpSyn, .options = options});
  TcpHeader tcp;
  std::size_t header = 0;
  const auto segment = std::span(frame).subspan(kEthernetHeader + kIpv4Header);
  EXPECT_EQ(parse_tcp(segment, segment.size(), tcp, header), DropReason::kNone);
  EXPECT_EQ(header, kTcpHeader + options.size());
  return tcp;
}

TEST(TcpOptions, WellFormedAndOtherwise) {
  EXPECT_EQ(parse({2, 4, 5, 0xb4}).mss, 1460);
  EXPECT_EQ(parse({1, 1, 1, 1, 2, 4, 5, 0xb4, 1, 3, 3, 9}).scale, 9);
  EXPECT_EQ(parse({0, 2, 4, 5}).mss, 0);   // after the end of the list
  EXPECT_EQ(parse({2, 3, 5, 0}).mss, 0);   // wrong length
  EXPECT_EQ(parse({8, 0, 2, 4}).mss, 0);   // length 0 would loop
  EXPECT_EQ(parse({1, 1, 1, 2}).mss, 0);   // length byte missing
  EXPECT_EQ(parse({8, 40, 2, 4}).mss, 0);  // length beyond the header
  EXPECT_EQ(parse({1, 1, 3, 3}).scale, -1);
  EXPECT_EQ(parse({3, 2, 7, 1}).scale, -1);  // wrong lengths
  EXPECT_EQ(parse({3, 4, 7, 7}).scale, -1);
  EXPECT_GE(parse({1, 3, 3, 0xff}).scale, 14);  // taken as 14 when it is used
}

TEST(Reasons, HaveNames) {
  EXPECT_EQ(name_of(DropReason::kFragment), "IP fragment");
  EXPECT_EQ(name_of(CloseReason::kFinished), "both sides closed");
  EXPECT_EQ(name_of(RefuseReason::kTooManyConnecting), "too many connections being opened");
  NatCounters counters;
  counters.dropped[static_cast<std::size_t>(DropReason::kFragment)] = 3;
  EXPECT_NE(to_text(counters).find("frame dropped: IP fragment: 3"), std::string::npos);
}

}  // namespace
}  // namespace glassbox::net
