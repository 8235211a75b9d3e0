// busybox's shell times its cycles with a clock that may be set. What it then says is never a figure: here it
// is made to say so, and in tests/system/bench the clock is set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/tools/bench/compare_cli.h"
#include "tests/unit/vmm/base/temp_dir.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Clock : public ::testing::Test {
 protected:
  // A run whose shell's lines "cycle T0 T1 STATUS" go through an awk script.
  Outcome told(const std::string& awk) {
    const std::string path = dir_.write("busybox",
                                        "#!/bin/sh\n[ \"$1\" = sh ] || exec /usr/bin/busybox \"$@\"\n"
                                        "/usr/bin/busybox \"$@\" | awk 'BEGIN {CONVFMT = OFMT = \"%.6f\"} " +
                                            awk + " {print}'\n");
    fs::permissions(path, fs::perms(0755));
    fs::permissions(dir_.path(), fs::perms(0755));
    return compare_cli({"--stacks", "loopback", "--workloads", "crr-fork", "--rounds", "1", "--fork-cycles",
                        "5", "--no-counts"},
                       dir_.path().string() + ":/usr/sbin:/usr/bin:/sbin:/bin");
  }
  test::TempDir dir_;
};

TEST_F(Clock, AsItIsThereAreFigures) {
  const Outcome outcome = told("");
  EXPECT_EQ(outcome.status, 0) << outcome.err << outcome.out;
}

TEST_F(Clock, ACycleThatEndsBeforeItBeginsEndsTheRow) {
  const Outcome outcome = told("NR == 3 {$3 -= 100}");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("failed: cycle 3: the client's clock went backwards"));
}

TEST_F(Clock, ACycleThatBeginsBeforeTheLastEndedEndsTheRow) {
  const Outcome outcome = told("NR >= 3 && $1 == \"cycle\" {$2 -= 100; $3 -= 100}");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("failed: cycle 3: the client's clock went backwards"));
}

TEST_F(Clock, ACycleThatTookLongerThanTheClientLivedEndsTheRow) {
  const Outcome outcome =
      told("NR >= 3 && $1 == \"cycle\" {$3 += 100}  NR > 3 && $1 == \"cycle\" {$2 += 100}");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("its clock cannot be trusted"));
}

}  // namespace
}  // namespace glassbox::bench
