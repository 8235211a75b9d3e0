#include "tools/trace/report/probes_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace glassbox::trace {
namespace {

using ::testing::HasSubstr;

TEST(ProbesPage, TheCommittedPageIsCurrent) {
  std::ifstream in(GLASSBOX_SOURCE_DIR "/bpf/PROBES.md");
  ASSERT_TRUE(in) << "bpf/PROBES.md is missing";
  const std::string page((std::istreambuf_iterator<char>(in)), {});
  EXPECT_EQ(page, probes_markdown()) << "run: glassbox-trace probes --markdown > bpf/PROBES.md";
}

TEST(ProbesPage, HasNameKindUnitOfProbesAndEventsOfBothSides) {
  const std::string page = probes_markdown();
  EXPECT_THAT(page, HasSubstr("| rx_inject | 12 | before the store that publishes a frame to the guest | "
                              "`u64 flow` flow number<br>`u32 seq` TCP sequence number<br>`u32 len` bytes"));
  EXPECT_THAT(page, HasSubstr("| host_sched_out | 72 |"));
  EXPECT_THAT(page, HasSubstr("| guest_clock | 160 |"));
  EXPECT_THAT(probes_text(), HasSubstr("u32 len: bytes"));
}

}  // namespace
}  // namespace glassbox::trace
