// GoogleTest's main with a third exit status: 77 if a test was skipped and none failed, which ctest shows as
// skipped.
#include <gtest/gtest.h>

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const int status = RUN_ALL_TESTS();
  if (status == 0 && ::testing::UnitTest::GetInstance()->skipped_test_count() > 0) return 77;
  return status;
}
