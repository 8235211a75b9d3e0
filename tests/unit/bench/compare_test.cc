// The rules of a comparison that need no run: verdicts, identity, targets, what may be stated.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <random>

#include "tools/bench/compare/compare_report.h"
#include "tools/bench/compare/compare_table.h"
#include "tools/bench/compare/exercise.h"
#include "tools/bench/compare/misses.h"
#include "tools/bench/compare/targets.h"
#include "tools/bench/net/net_stack.h"
#include "vmm/machine/machine.h"

namespace glassbox::bench {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

// Rounds with a mood each, as a machine has it: independent cycles around a median that moves.
Rounds moody(std::uint64_t median_ns, std::uint32_t rounds, std::uint64_t seed, std::uint64_t mood_seed) {
  std::mt19937_64 random(seed);
  std::mt19937_64 moods(mood_seed);
  Rounds all;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    const double mood = 1 + static_cast<double>(moods() % 1000) / 1000;
    auto& samples = all.emplace_back();
    for (int i = 0; i < 100; ++i) {
      const double noise = 1 + static_cast<double>(random() % 200) / 1000;
      samples.push_back(static_cast<std::uint64_t>(static_cast<double>(median_ns) * mood * noise));
    }
  }
  return all;
}

TEST(Verdict, SignFlipIsExact) {
  // All of one sign: only the observed signs and their opposite are as extreme.
  EXPECT_DOUBLE_EQ(sign_flip_p(std::vector<double>{1, 2, 3, 4}), 2.0 / 16);
  EXPECT_DOUBLE_EQ(sign_flip_p(std::vector<double>(8, 0.5)), 2.0 / 256);
  EXPECT_DOUBLE_EQ(sign_flip_p(std::vector<double>{1, -1}), 1);
  EXPECT_DOUBLE_EQ(sign_flip_p({}), 1);
  EXPECT_LT(sign_flip_p(std::vector<double>(30, 0.5)), 1e-4);
}

TEST(Verdict, AStackIsNotDifferentFromItself) {
  int different = 0;
  for (std::uint64_t trial = 0; trial < 200; ++trial) {
    const auto verdict = compare(moody(1000, 8, 3 * trial, trial), moody(1000, 8, 3 * trial + 1, trial));
    ASSERT_TRUE(verdict.has_value());
    different += verdict->different ? 1 : 0;
  }
  EXPECT_LE(different, 2);  // at most 1 % by the test, and the intervals must part as well
}

TEST(Verdict, PooledCyclesOfMoodyRoundsDoNotFoolIt) {
  // Each stack with moods of its own: the pooled intervals part, and still nothing is different.
  int parted = 0;
  int different = 0;
  for (std::uint64_t trial = 0; trial < 100; ++trial) {
    const auto verdict =
        compare(moody(1000, 8, trial, 7 * trial), moody(1000, 8, trial + 500, 7 * trial + 1));
    parted += verdict->overlap ? 0 : 1;
    different += verdict->different ? 1 : 0;
  }
  EXPECT_GT(parted, 20);
  EXPECT_LE(different, 3);
}

TEST(Verdict, AClearDifferenceIsOneWithItsP) {
  const auto verdict = compare(moody(1000, 8, 1, 9), moody(3000, 8, 2, 9));
  EXPECT_TRUE(verdict->different);
  EXPECT_LT(verdict->p, kSignificance);
  EXPECT_NEAR(verdict->ratio, 1.0 / 3, 0.05);
  EXPECT_THAT(describe(*verdict), HasSubstr("(p 0.00"));
}

TEST(Verdict, FewRoundsTellNothing) {
  const auto verdict = compare(moody(1000, 5, 1, 9), moody(9000, 5, 2, 9));
  EXPECT_FALSE(verdict->different);
  EXPECT_THAT(describe(*verdict), HasSubstr("too few rounds"));
  EXPECT_FALSE(compare({}, moody(1, 8, 1, 1)).has_value());
}

TEST(NullTest, FailsWhereTheHarnessAddsAndOnlyThere) {
  EXPECT_FALSE(null_test_failed({}));
  EXPECT_FALSE(null_test_failed({moody(1000, 8, 1, 9), moody(1000, 8, 2, 9)}));
  EXPECT_TRUE(null_test_failed({moody(2000, 8, 1, 9), moody(1000, 8, 2, 9)}));
}

// --- identity
// -------------------------------------------------------------------------------------------------

Identity owner(std::string program) {
  return {42, std::move(program), {}, {}};
}

TEST(CarrierCheck, RefusesAnotherPeer) {
  const StackEntry& passt = *find_stack("qemu-passt");
  EXPECT_TRUE(check_carrier(passt, owner("/usr/bin/passt.avx2"), "").has_value());
  const Status wrong = check_carrier(passt, owner("/usr/bin/qemu-system-x86_64"), "");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().message, "/usr/bin/qemu-system-x86_64 (process 42) carries the packets, not passt");
  EXPECT_FALSE(check_carrier(passt, std::nullopt, "").has_value());
  EXPECT_TRUE(check_carrier(*find_stack("veth"), std::nullopt, "").has_value());
  EXPECT_FALSE(check_carrier(*find_stack("veth"), owner("/usr/bin/pasta"), "").has_value());
}

TEST(CarrierCheck, AnotherBuildsMonitorIsAnotherPeer) {
  const std::string self = "/proc/self/exe";
  const StackEntry& ours = *find_stack("glassbox");
  EXPECT_FALSE(check_carrier(ours, owner("/elsewhere/glassbox"), self).has_value());
}

TEST(CarrierCheck, ARenamedProgramGivesItselfAway) {
  EXPECT_THAT(own_version("passt", "/x/pasta", "slirp4netns version 1.2.0\n").error().message,
              HasSubstr("/x/pasta is not of package passt and calls itself \"slirp4netns version 1.2.0\""));
  EXPECT_FALSE(own_version("passt", "/x/pasta", ""));
  EXPECT_EQ(own_version("passt", "/x/pasta", "pasta 2024\nmore\n").value(),
            "pasta 2024 (not of package passt)");
}

TEST(Claims, ACacheThatAnswersAndAClockThatRunsAreRefused) {
  const Workload crr{Load::kCrr, 1, "crr"};
  CompareSpec spec;
  const std::vector<std::uint64_t> times(10, 1'000'000);
  EXPECT_TRUE(check_claims(crr, spec, times, 10, 10, 12'000'000));
  EXPECT_TRUE(check_claims(crr, spec, times, 10, std::nullopt, 12'000'000));
  EXPECT_THAT(check_claims(crr, spec, times, 10, 1, 12'000'000).error().message,
              HasSubstr("claims 10 cycles and the server has served 1"));
  EXPECT_THAT(check_claims(crr, spec, times, 10, 10, 9'000'000).error().message,
              HasSubstr("cannot be trusted"));
  EXPECT_FALSE(check_claims({Load::kConnectRate, 2, "connect-rate 2"}, spec, {1'000'000}, 10, 10, 9'000'000));
  spec.rate = 100;  // late cycles overlap
  EXPECT_TRUE(check_claims(crr, spec, times, 10, 10, 9'000'000));
}

TEST(SocketInode, IsFoundByBothEnds) {
  const std::string text =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
      "   0: 0100007F:1F90 0100007F:A2C4 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n"
      "   1: 0100007F:A2C4 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n";
  EXPECT_EQ(socket_inode(text, {kLoopback, 0xa2c4}, {kLoopback, 8080}), 222u);
  EXPECT_EQ(socket_inode(text, {kLoopback, 0xa2c4}, {kLoopback, 1}), std::nullopt);
  EXPECT_EQ(socket_inode(text, {kLoopback, 1}, {kLoopback, 8080}), std::nullopt);
}

// --- counts
// ---------------------------------------------------------------------------------------------------

TEST(ExitReasons, ComeFromTheKernelsOwnNames) {
  const std::string format =
      R"(REC->isa == 1) ? __print_symbolic(REC->exit_reason & 0xffff, { 12, "HLT" }, { 48, "EPT_VIOLATION" }) )"
      R"(: __print_symbolic(REC->exit_reason, { 0x040 + 1, "DB excp" }, { 0x078, "hlt" }), x)";
  EXPECT_EQ(exit_reasons(format, 1).at(12), "HLT");
  EXPECT_EQ(exit_reasons(format, 2).at(0x78), "hlt");
  EXPECT_EQ(exit_reasons(format, 2).at(0x41), "DB excp");
  EXPECT_FALSE(exit_reasons(format, 2).contains(12));
  EXPECT_TRUE(exit_reasons("", 2).empty());
}

TEST(KernelCounter, CountsTheCallsOfThisProcessAndNoOthers) {
  auto counter = KernelCounter::start({::getpid()});
  if (!counter) GTEST_SKIP() << counter.error().message;
  const KernelCounts before = (*counter)->read();
  for (int i = 0; i < 1000; ++i)
    ::syscall(SYS_getppid);
  const KernelCounts counts = (*counter)->read() - before;
  EXPECT_EQ(counts.by_call.at(fmt::format("syscall {}", SYS_getppid)), 1000);
  EXPECT_GE(counts.calls, 1000);

  auto other = KernelCounter::start({1});
  ASSERT_TRUE(other.has_value());
  for (int i = 0; i < 1000; ++i)
    ::syscall(SYS_getppid);
  EXPECT_FALSE((*other)->read().by_call.contains(fmt::format("syscall {}", SYS_getppid)));
}

TEST(ProcessCounts, AreDifferencesOfTotals) {
  const ProcessCounts counts =
      ProcessCounts{10, 5, 100, std::nullopt} - ProcessCounts{4, 1, 60, std::nullopt};
  EXPECT_EQ(counts.cpu_ns, 6);
  EXPECT_EQ(counts.exits, 40);
  EXPECT_FALSE(counts.injections.has_value());
  EXPECT_FALSE(read_process_counts({0x7ffffff0}).has_value());
}

// --- the same client, server, kernel and image everywhere
// -----------------------------------------------------

TEST(QemuArgv, HasOurKernelImageAndCommandLine) {
  const auto argv = qemu_argv({false, "microvm", 1, 256}, 77, -1, "/c");
  EXPECT_THAT(argv, Contains(default_command_line()));
  EXPECT_THAT(argv, Contains(::testing::EndsWith("guest/vmlinuz")));
  EXPECT_THAT(argv, Contains(::testing::EndsWith("guest/initramfs.cpio")));
  EXPECT_THAT(argv, IsSupersetOf({"user,id=net", "vhost-vsock-pci,guest-cid=77", "256M"}));
  EXPECT_THAT(qemu_argv({true, "q35", 1, 256}, 77, 9, "/c"),
              IsSupersetOf({"q35", "stream,id=net,addr.type=fd,addr.str=9"}));
}

TEST(Exercise, IsTheSameProgramForEveryWorkloadButTheShells) {
  const auto stack = make_loopback_stack();
  CompareSpec spec;
  spec.workloads = workload_names();
  spec.payload = 3;
  for (const Workload& workload : round_workloads(spec)) {
    const auto argv = exercise_command(workload, spec, *stack, "h", 7, 5);
    if (workload.load == Load::kCrrFork) {
      EXPECT_EQ(argv.back(), "AAA");
      continue;
    }
    EXPECT_THAT(argv[0], ::testing::EndsWith("gb-crr")) << workload.name;
  }
}

TEST(Exercise, ConnectRateIsTheTimeOfAllFlowsTogether) {
  const Workload rate{Load::kConnectRate, 2, "connect-rate 2"};
  const auto ns = parse_exercise(rate, {}, R"({"wall_ns":1000,"cycle_ns":[[0,900],[0,800]]})", 2);
  ASSERT_TRUE(ns.has_value()) << ns.error().message;
  EXPECT_THAT(*ns, ElementsAre(500));
  EXPECT_FALSE(parse_exercise(rate, {}, R"({"wall_ns":1000,"cycle_ns":[[0,900]]})", 2).has_value());
}

TEST(CompareSpecCheck, SaysWhatIsWrong) {
  CompareSpec spec;
  EXPECT_FALSE(check(spec).has_value());
  spec.stacks = {"loopback"};
  spec.workloads = {"rr"};
  EXPECT_TRUE(check(spec).has_value());
  spec.rounds = 0;
  EXPECT_THAT(check(spec).error().message, HasSubstr("--rounds 0"));
  spec.rounds = 8;
  spec.cycles = 2;  // fewer than flows, which only connect-rate has
  EXPECT_TRUE(check(spec).has_value());
  spec.workloads = {"connect-rate"};
  EXPECT_THAT(check(spec).error().message, HasSubstr("--flows 4"));
  spec.cycles = 150;
  spec.vcpus = 0;
  EXPECT_THAT(check(spec).error().message, HasSubstr("--vcpus 0"));
  spec.vcpus = 1;
  spec.workloads = {"boot"};
  spec.rate = 5;
  EXPECT_THAT(check(spec).error().message, HasSubstr("--rate"));
  EXPECT_THAT(labels({"a", "b", "a"}), ElementsAre("a", "b", "a#2"));
}

// --- the report
// -----------------------------------------------------------------------------------------------

Contender& add(CompareResult& result, const std::string& name, const Rounds& rounds, double exits) {
  Contender& row = result.rows.emplace_back();
  row.label = name;
  row.entry = find_stack(name);
  Cell& cell = row.cells["crr"];
  cell.rounds = rounds;
  cell.process = {1e6, 100, exits, exits / 2};
  cell.process_cycles = 100;
  return row;
}

CompareResult sample() {
  CompareResult result;
  result.spec.stacks = {"glassbox", "qemu-slirp", "qemu-passt"};
  result.spec.workloads = {"crr"};
  result.machine = {{"cpu", "x"}, {"kernel", "y"}};
  result.rounds_done = 8;
  result.rows.reserve(8);
  add(result, "glassbox", moody(1000, 8, 1, 5), 400);
  add(result, "qemu-slirp", moody(2000, 8, 2, 5), 1000);
  add(result, "qemu-passt", moody(3000, 8, 3, 5), 900);
  return result;
}

TEST(Targets, AreAgainstTheBetterPeerOfEachFigure) {
  const auto targets = targets_of(sample());
  ASSERT_EQ(targets.size(), 3u);
  EXPECT_EQ(targets[0].peer, "qemu-passt");  // fewer exits
  EXPECT_NEAR(*targets[0].ratio(), 4.0 / 9, 1e-9);
  EXPECT_TRUE(targets[0].met());
  EXPECT_EQ(targets[2].peer, "qemu-slirp");  // the faster
  EXPECT_THAT(describe(targets[0]), HasSubstr("0.44x, at most 0.50x: met"));
}

TEST(Targets, AMissKeepsBothFigures) {
  CompareResult result = sample();
  result.rows[0].cells["crr"].process.exits = 890;
  const auto text = describe(targets_of(result)[0]);
  EXPECT_THAT(text, HasSubstr("8.9 against 9.0 of qemu-passt: 0.99x, at most 0.50x: MISSED"));
}

TEST(Targets, AMissNamesTheSegmentsOfTheTracedRunAndAHitDoesNot) {
  CompareResult result = sample();
  result.spec.workloads = {"crr", "rr"};
  for (Contender& row : result.rows)
    row.cells["rr"].rounds = moody(1000, 8, 1, 5);
  result.traced = {
      {"segments",
       {{{"id", "host_connect"}, {"side", "host"}, {"label", "L1"}, {"p50_us", 10.0}, {"share", 0.5}},
        {{"id", "irq_reply"}, {"side", "cross"}, {"label", "L2"}, {"p50_us", 7.0}, {"share", 0.2}}}}};
  result.rows[0].cells["crr"].process.exits = 890;
  KernelCounts counts;
  counts.by_reason = {{"hlt", 2.7}};
  result.rows[0].cells["crr"].kernel = result.rows[2].cells["crr"].kernel = counts;
  const auto targets = targets_of(result);
  ASSERT_EQ(targets.size(), 4u);
  EXPECT_THAT(where_held(result, targets[0]), ElementsAre("exits: hlt 2.7; qemu-passt: hlt 2.7",
                                                          "traced, 50.0 % of a CRR: host, L1: p50 10 us",
                                                          "traced, 20.0 % of a CRR: cross, L2: p50 7 us"));
  EXPECT_THAT(where_held(result, targets[2]), ElementsAre());  // CRR p50 is met
  EXPECT_THAT(where_held(result, targets[3]), ElementsAre("traced, 20.0 % of a CRR: cross, L2: p50 7 us"));
  EXPECT_THAT(compare_text(result), HasSubstr("MISSED\n    exits: hlt 2.7"));
  EXPECT_EQ(compare_json(result)["targets"][3]["held_by"].size(), 1u);
  result.traced = nullptr;
  result.trace_missing = "no root";
  EXPECT_THAT(where_held(result, targets[3]), ElementsAre("not traced: no root"));
}

TEST(Targets, AMissedBootTellsItsStages) {
  CompareResult result = sample();
  result.spec.workloads = {"boot"};
  const auto boot = [&](const char* label, std::uint64_t first_ns) -> BootRow& {
    BootRow& row = result.boots.emplace_back();
    row.label = label;
    row.ready = row.first_entry = {{first_ns}};
    return row;
  };
  boot("glassbox", 300'000'000).stages = {{1, {{100'000'000}}}, {2, {{290'000'000}}}};
  boot("qemu-slirp", 400'000'000);
  const auto targets = targets_of(result);
  ASSERT_EQ(targets.size(), 2u);
  EXPECT_THAT(where_held(result, targets[0]),
              ElementsAre("until machine created: 100.0 ms more", "until kernel loaded: 190.0 ms more"));
  EXPECT_THAT(where_held(result, targets[1]), ElementsAre());
}

TEST(Targets, AFailedWorkloadHasNoFigure) {
  CompareResult result = sample();
  result.rows[0].cells["crr"].failed = "broke";
  EXPECT_FALSE(targets_of(result)[0].met());
  EXPECT_THAT(describe(targets_of(result)[0]), HasSubstr("glassbox has no figure"));
}

TEST(CompareReport, StatesNoP99OfFewerThanAThousand) {
  CompareResult result = sample();
  const auto of = [&](const char* what) {
    return compare_json(result)["stacks"][0]["workloads"]["crr"][what];
  };
  EXPECT_EQ(of("n"), 800);
  EXPECT_TRUE(of("p99_us").is_null());
  EXPECT_TRUE(of("p999_us").is_null());
  result.rows[0].cells["crr"].rounds = moody(1000, 10, 1, 5);
  EXPECT_FALSE(of("p99_us").is_null());
  EXPECT_TRUE(of("p999_us").is_null());
  EXPECT_FALSE(of("median_interval_us").is_null());
}

TEST(CompareReport, NamesWhatFailedAndShowsTheRest) {
  CompareResult result = sample();
  result.rows[2].cells.clear();
  result.rows[2].refused = "not installed: apt-get install passt";
  result.rows[1].cells["crr"].failed = "the client exited 1; its log ends: oops";
  const std::string text = compare_text(result);
  EXPECT_THAT(text, HasSubstr("qemu-passt: NO ROW: not installed: apt-get install passt"));
  EXPECT_THAT(text, HasSubstr("failed: the client exited 1; its log ends: oops"));
  EXPECT_THAT(text, HasSubstr("crr, us"));
  EXPECT_EQ(compare_json(result)["stacks"][1]["workloads"]["crr"]["failed"],
            "the client exited 1; its log ends: oops");
}

TEST(CompareReport, SaysWarmUpInterruptionAndTheNullTest) {
  CompareResult result = sample();
  result.interrupted = true;
  result.rounds_done = 3;
  result.null_test = {moody(2000, 8, 1, 9), moody(1000, 8, 2, 9)};
  for (const std::string& text : {compare_text(result), compare_markdown(result)}) {
    EXPECT_THAT(text, HasSubstr("INTERRUPTED after 3 of 8 rounds"));
    EXPECT_THAT(text, HasSubstr("10 warm-up cycles that are thrown away"));
    EXPECT_THAT(text, HasSubstr("THEY DIFFER"));
  }
  EXPECT_FALSE(compare_json(result)["null_test"]["agree"].get<bool>());
}

TEST(CompareReport, AStackNamedTwiceIsComparedWithItself) {
  CompareResult result = sample();
  Contender& again = add(result, "qemu-slirp", moody(2000, 8, 9, 5), 1000);
  again.label = "qemu-slirp#2";
  EXPECT_EQ(base_of(result, again), &result.rows[1]);
  EXPECT_EQ(base_of(result, result.rows[1]), &result.rows[0]);
  EXPECT_EQ(base_of(result, result.rows[0]), nullptr);
}

TEST(CompareReport, MarkdownHasAsManyCellsInEveryLine) {
  const std::string table = markdown_table({{"a", "b", "c"}, {"1", "2", "3"}, {"x", "y"}});
  EXPECT_EQ(table, "| a | b | c |\n|---|---|--:|\n| 1 | 2 | 3 |\n| x | y |  |\n");
}

}  // namespace
}  // namespace glassbox::bench
