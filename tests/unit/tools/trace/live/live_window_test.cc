// The figures of the live view, on events of known truth.
#include "tools/trace/live/live_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/tools/trace/synthetic.h"

namespace glassbox::trace {
namespace {

using testing::CycleOptions;
using ::testing::HasSubstr;

// `count` cycles from `at` on, one every 50 ms; the host's events.
std::vector<gb_event> cycles(std::int64_t at, int count, const CycleOptions& options = {}) {
  testing::TraceBuilder builder;
  for (int k = 0; k < count; ++k)
    builder.cycle(at + k * 50'000'000LL, options);
  return builder.build().host.events;
}

LiveWindow tap_window(std::size_t most = LiveWindow::kMostEvents) {
  return LiveWindow({{"machine", {{"kind", "hardware"}}}}, {}, most);
}

TEST(LiveWindow, CountsEachCycleOnceAndSeparatesTheSpans) {
  LiveWindow window = tap_window();
  const std::int64_t start = 20'000'000'000;
  const auto events = cycles(start, 100);  // 5 s
  std::size_t fed = 0;
  LiveSnapshot last;
  for (std::int64_t now = start; now <= start + 7'000'000'000; now += 500'000'000) {
    for (; fed < events.size() && static_cast<std::int64_t>(events[fed].ts_ns) <= now; ++fed)
      window.add(events[fed]);
    last = window.snapshot(now, 3);
    if (now == start + 4'000'000'000) {
      EXPECT_EQ(last.last_second.cycles, 20U);
      EXPECT_DOUBLE_EQ(last.last_second.per_second, 20);
      EXPECT_GT(last.last_ten.cycles, 70U);
    }
  }
  EXPECT_EQ(last.cycles, 100U);
  EXPECT_EQ(last.last_ten.cycles, 100U);
  EXPECT_EQ(last.last_second.cycles, 0U);
  EXPECT_EQ(last.drops, 3U);
  EXPECT_LE(*last.last_ten.unattributed_share, 0.02);
  // 20 s later only the count remains.
  const LiveSnapshot idle = window.snapshot(start + 26'000'000'000, 3);
  EXPECT_EQ(idle.cycles, 100U);
  EXPECT_EQ(idle.last_ten.cycles, 0U);
  EXPECT_EQ(window.held(), 0U);
  EXPECT_EQ(idle.discarded, idle.events);
}

TEST(LiveWindow, NamesTheSlowestCycleAndConfirmsWhatItShows) {
  LiveWindow window = tap_window();
  CycleOptions thinking;
  thinking.think_ns = 9'000'000;
  for (const gb_event& e : cycles(20'000'000'000, 30, thinking))
    window.add(e);
  const LiveSnapshot s = window.snapshot(22'000'000'000, 0);
  EXPECT_EQ(s.slowest_where, "server_think");
  EXPECT_GT(s.slowest_ns, 9'000'000);
  EXPECT_THAT(format_live_line(s), HasSubstr("confirmed: server_think"));
  EXPECT_THAT(format_live_page(s, "VM\x1b[2J demo"), HasSubstr("VM?[2J demo"));
  EXPECT_THAT(format_live_page(s, "demo"), HasSubstr("server: think time"));
  const auto json = to_json(s);
  EXPECT_EQ(json["last_10s"]["cycles"], 30);
  EXPECT_TRUE(json["last_10s"]["total"]["p99_us"].is_null()) << "too few cycles";
  EXPECT_EQ(json["slowest"]["where"], "server_think");
}

TEST(LiveWindow, MemoryIsBoundedWhenEventsArriveTooFast) {
  LiveWindow window = tap_window(500);
  for (const gb_event& e : cycles(20'000'000'000, 100))
    window.add(e);
  EXPECT_EQ(window.held(), 500U);
  const LiveSnapshot s = window.snapshot(25'500'000'000, 0);
  EXPECT_TRUE(s.window_cut);
  EXPECT_GT(s.last_ten.cycles, 0U);
  EXPECT_THAT(format_live_line(s), HasSubstr("window cut short"));
  EXPECT_FALSE(window.snapshot(25'600'000'000, 0).window_cut);
}

}  // namespace
}  // namespace glassbox::trace
