// What `run` says before the start.
#include <gtest/gtest.h>

#include "tests/unit/vmm/base/temp_dir.h"
#include "vmm/cli/run.h"
#include "vmm/cli/stats.h"

namespace glassbox::cli {
namespace {

TEST(RunOptions, ArgumentsThatNoDeviceWorksWithAreRefused) {
  const test::TempDir dir;
  RunOptions options;
  options.vm.kernel = dir.write("kernel", "x");
  options.vm.initrd = dir.write("image", "\x28\xb5\x2f\xfd");  // compressed: the kernel's own business
  options.vm.append = "nokaslr foo.pci=nomsi";
  EXPECT_TRUE(complete(options));
  options.vm.append = "nokaslr pci=nomsi";
  const Status refused = complete(options);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("MSI-X"), std::string::npos) << refused.error().message;
}

TEST(Stats, AreALineAFigureOrOneObject) {
  const std::string answer = R"({"exits":7,"name":"a","network":{"dropped":{"too long":2},"flows_open":1}})";
  EXPECT_EQ(*format_stats(answer, true), answer + "\n");
  const std::string text = *format_stats(answer, false);
  EXPECT_NE(text.find("exits "), std::string::npos) << text;
  EXPECT_NE(text.find("network: dropped: too long "), std::string::npos) << text;
}

// The answer may be another user's.
TEST(Stats, HaveNoEscapesAndRefuseRubbish) {
  const std::string answer = "{\"n\\u001b[2J\":\"\\u001b]0;x\xc2\x9b\"}";
  for (const bool json : {false, true}) {
    const auto text = format_stats(answer, json);
    ASSERT_TRUE(text);
    for (const char c : *text)
      EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~')) << *text;
  }
  for (const char* rubbish : {"", "[1]", "{", "\xff"})
    EXPECT_FALSE(format_stats(rubbish, false)) << rubbish;
}

}  // namespace
}  // namespace glassbox::cli
