#include "tools/bench/process/lab_run.h"

#include <gtest/gtest.h>

namespace glassbox::bench {
namespace {

TEST(SurvivesLab, OnlyBelowASharedDirectory) {
  const std::vector<std::filesystem::path> shared{"/home/me/glassbox", "/data/"};
  EXPECT_TRUE(survives_lab("/home/me/glassbox/out.json", shared));
  EXPECT_TRUE(survives_lab("/home/me/glassbox/build/x/out.json", shared));
  EXPECT_TRUE(survives_lab("/data/out.json", shared));
  EXPECT_FALSE(survives_lab("/home/me/glassbox-2/out.json", shared));
  EXPECT_FALSE(survives_lab("/home/me/out.json", shared));
  EXPECT_FALSE(survives_lab("/home/me/glassbox/../out.json", shared));
  EXPECT_FALSE(survives_lab("/tmp/out.json", shared));
}

}  // namespace
}  // namespace glassbox::bench
