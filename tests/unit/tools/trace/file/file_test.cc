#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/file/kinds.h"
#include "tools/trace/file/records.h"
#include "tools/trace/file/trace_format.h"
#include "tools/trace/file/trace_reader.h"
#include "tools/trace/file/trace_writer.h"

namespace glassbox::trace {
namespace {

namespace fs = std::filesystem;
using testing::make_trace;

class TempFile {
 public:
  TempFile()
      : path_(fs::temp_directory_path() / fmt::format("glassbox-trace-test-{}-{}", ::getpid(), next_++)) {}
  ~TempFile() { fs::remove(path_); }
  [[nodiscard]] const fs::path& path() const { return path_; }
  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::ifstream in(path_, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    const auto* data = reinterpret_cast<const std::byte*>(text.data());
    return {data, data + text.size()};
  }

 private:
  static inline int next_ = 0;
  fs::path path_;
};

void write(const Trace& trace, const fs::path& path) {
  auto writer = TraceWriter::create(path, {{"kernel", "6.1"}});
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE(writer->add_hooks(Origin::kHost, std::vector<std::string>{"rx_inject usdt"}));
  ASSERT_TRUE(writer->add_hooks(Origin::kGuest, std::vector<std::string>{"guest_fork raw_tp"}));
  for (const gb_event& e : trace.host.events)
    ASSERT_TRUE(writer->add_event(Origin::kHost, e));
  for (const gb_event& e : trace.guest.events)
    ASSERT_TRUE(writer->add_event(Origin::kGuest, e));
  ASSERT_TRUE(writer->add_drops(Origin::kGuest, {{"ring_full", 3}, {"own_events", 9}}));
  ASSERT_TRUE(writer->add_meta({{"workload", {{"name", "crr"}, {"cycles", 2}}}}));
  ASSERT_TRUE(writer->add_note("a note"));
  ASSERT_TRUE(writer->finish());
}

bool same_events(const Side& a, const Side& b) {
  return a.events.size() == b.events.size() &&
         (a.events.empty() ||
          std::memcmp(a.events.data(), b.events.data(), a.events.size() * sizeof(gb_event)) == 0);
}

TEST(TraceFile, GivesBackWhatWasWritten) {
  const Trace trace = make_trace(20);
  const TempFile file;
  write(trace, file.path());
  const auto back = read_trace(file.path());
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_TRUE(same_events(back->host, trace.host));
  EXPECT_TRUE(same_events(back->guest, trace.guest));
  EXPECT_EQ(back->info["kernel"], "6.1");
  EXPECT_EQ(back->meta["workload"]["cycles"], 2);
  EXPECT_EQ(back->host.hooks, std::vector<bpf::Hook>{bpf::parse_hook("rx_inject usdt")});
  EXPECT_EQ(back->guest.drops.at("ring_full"), 3U);
  EXPECT_EQ(back->guest.lost(), 3U);  // own_events are not losses
  EXPECT_EQ(back->notes, std::vector<std::string>{"a note"});
  EXPECT_FALSE(back->truncated);
  EXPECT_FALSE(back->other_interface);
}

TEST(TraceFile, MetadataCanBeAddedLater) {
  const TempFile file;
  write(make_trace(1), file.path());
  auto writer = TraceWriter::append(file.path());
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE(writer->add_meta({{"workload", {{"server", "blocking"}}}}));
  const auto back = read_trace(file.path());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->meta["workload"]["server"], "blocking");
  EXPECT_EQ(back->meta["workload"]["cycles"], 2);
  EXPECT_FALSE(back->truncated);
}

TEST(TraceFile, EveryPrefixYieldsItsWholeEventsAndSaysSo) {
  const Trace trace = make_trace(2);
  const TempFile file;
  write(trace, file.path());
  const auto bytes = file.bytes();
  std::size_t last = 0;
  for (std::size_t length = 0; length < bytes.size(); length += 61) {
    const auto back = parse_trace(std::span(bytes).first(length), "x");
    if (length < sizeof(FileHeader)) {
      EXPECT_FALSE(back);
      continue;
    }
    ASSERT_TRUE(back) << length << ": " << back.error().message;
    EXPECT_TRUE(back->truncated) << length;
    EXPECT_GE(back->host.events.size(), last);
    last = back->host.events.size();
  }
  EXPECT_EQ(last, trace.host.events.size());
}

TEST(TraceFile, ForeignFilesAreRefusedInOneLine) {
  for (const std::string& text :
       {std::string("\x7f"
                    "ELF"),
        std::string(4096, 'x'), std::string("GBTRACE\n") + std::string(64, '\xff')}) {
    const auto back = parse_trace(std::as_bytes(std::span(text)), "f.trace");
    ASSERT_FALSE(back);
    EXPECT_EQ(back.error().message.find('\n'), std::string::npos);
    EXPECT_EQ(back.error().message.rfind("f.trace: ", 0), 0U);
  }
  EXPECT_FALSE(read_trace("/dev/null"));
  EXPECT_FALSE(read_trace("/nonexistent"));
}

TEST(TraceFile, AChunkLongerThanAnyIsDamage) {
  const TempFile file;
  write(make_trace(1), file.path());
  auto bytes = file.bytes();
  ChunkHeader huge = {static_cast<std::uint32_t>(ChunkType::kHost), 0xffffffff, 0, 0};
  huge.header_crc = checksum(std::as_bytes(std::span(&huge, 1)).first(kChunkHeaderV1));
  std::memcpy(bytes.data() + sizeof(FileHeader), &huge, sizeof(huge));
  EXPECT_FALSE(parse_trace(bytes, "x"));
}

// The reader detects any byte that changed and, where it can, names the chunk.
TEST(TraceFile, AnOverwrittenByteIsCaughtAndNamed) {
  const TempFile file;
  write(make_trace(1), file.path());
  const auto bytes = file.bytes();
  std::size_t named = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 7) {
    auto damaged = bytes;
    damaged[at] ^= std::byte{0x10};
    const auto back = parse_trace(damaged, "x");
    ASSERT_FALSE(back) << at;
    EXPECT_EQ(back.error().message.find('\n'), std::string::npos);
    named += back.error().message.find("at offset") != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(named, (bytes.size() - sizeof(FileHeader)) / 7 - 1);
}

TEST(TraceFile, VersionOneIsReadAndAddedTo) {
  const TempFile file;
  fs::copy_file(fs::path(GLASSBOX_SOURCE_DIR) / "tests/unit/tools/trace/data/single.trace", file.path());
  auto writer = TraceWriter::append(file.path());
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE(writer->add_note("added"));
  const auto trace = read_trace(file.path());
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->format, 1U);
  EXPECT_FALSE(trace->truncated);
  EXPECT_EQ(trace->notes.back(), "added");
}

TEST(TraceFile, PartsOfACounterAreNotAddedToIt) {
  Side side;
  side.drops = {{"ring_full", 7}, {"ring_full:rx_inject", 5}, {"ring_full:host_recv", 2}};
  EXPECT_EQ(side.lost(), 7U);
}

RC_GTEST_PROP(TraceFile, SurvivesAnyBytes, ()) {
  static const auto bytes = [] {
    const TempFile file;
    write(make_trace(1), file.path());
    return file.bytes();
  }();
  auto damaged = bytes;
  const auto places =
      *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, bytes.size()));
  for (const std::size_t at : places)
    damaged[at] = static_cast<std::byte>(*rc::gen::arbitrary<std::uint8_t>());
  const auto back = parse_trace(damaged, "x");
  if (back) RC_ASSERT(back->host.events.size() * sizeof(gb_event) <= damaged.size());
}

gb_event guest_event(std::uint64_t seq) {
  gb_event e{};
  e.ts_ns = 1000 + seq;
  e.seq = seq;
  e.kind = GB_KIND_guest_fork;
  e.version = GB_EVENT_VERSION;
  return e;
}

TEST(Records, ImpossibleOnesAreCountedAndLeftOut) {
  std::vector<gb_event> bad(8, guest_event(0));
  bad[0].version = 2;
  bad[1].kind = GB_KIND_rx_inject;  // a guest cannot write host events
  bad[2].kind = 250;
  bad[3].cpu = kMaxCpus;
  bad[4].ts_ns = UINT64_MAX;
  bad[5].cpu = kAgentCpuBit;  // the agent's numbers are for clock exchanges only
  bad[6].kind = GB_KIND_guest_clock;
  bad[7].kind = 0;
  Side side;
  take_records(bad, Origin::kGuest, side);
  EXPECT_TRUE(side.events.empty());
  EXPECT_EQ(side.impossible_records, bad.size());
  EXPECT_EQ(side.impossible_by_event,
            (DropCounters{
                {"?", 2}, {"rx_inject", 1}, {"guest_clock", 1}, {std::string(kind_name(bad[0].kind)), 4}}));
}

// A trace of millions of events has thousands of chunks: earlier events must not be copied for each.
TEST(Records, ManyChunksAreTakenWithFewCopies) {
  Side side;
  gb_event event{};
  event.ts_ns = 1, event.kind = GB_KIND_rx_inject, event.version = GB_EVENT_VERSION;
  const std::vector<gb_event> chunk(16, event);
  const gb_event* place = nullptr;
  int copies = 0;
  for (int k = 0; k < 4096; ++k) {
    take_records(chunk, Origin::kHost, side);
    copies += std::exchange(place, side.events.data()) != side.events.data() ? 1 : 0;
  }
  EXPECT_EQ(side.events.size(), 4096U * 16);
  EXPECT_LT(copies, 64);
}

TEST(Records, GapsInASequenceAreLosses) {
  Side side;
  for (const std::uint64_t seq : {2, 3, 7})
    side.events.push_back(guest_event(seq));
  gb_event other = guest_event(0);
  other.cpu = 1;
  side.events.push_back(other);
  check_sequences(side);
  EXPECT_EQ(side.sequence_gaps, 5U);  // 0, 1; 4, 5, 6
  EXPECT_EQ(side.lost(), 5U);
}

TEST(Records, ANumberUsedTwiceIsImpossible) {
  Side side;
  for (const std::uint64_t seq : {0, 1, 1, 2})
    side.events.push_back(guest_event(seq));
  check_sequences(side);
  EXPECT_EQ(side.impossible_records, 1U);
  EXPECT_EQ(side.impossible_by_event, (DropCounters{{std::string(kind_name(guest_event(0).kind)), 1}}));
  EXPECT_EQ(side.events.size(), 3U);
}

TEST(Records, AWildSequenceDoesNotOverflow) {
  Side side;
  for (int cpu = 0; cpu < 4; ++cpu) {
    side.events.push_back(guest_event(UINT64_MAX));
    side.events.back().cpu = static_cast<std::uint16_t>(cpu);
  }
  check_sequences(side);
  EXPECT_EQ(side.lost(), UINT64_MAX);
}

}  // namespace
}  // namespace glassbox::trace
