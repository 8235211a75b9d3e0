// GoogleTest's main with an exit status that ctest can tell from success: 77 if something was skipped and
// nothing failed.
#include <gtest/gtest.h>

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const int status = RUN_ALL_TESTS();
  if (status == 0 && ::testing::UnitTest::GetInstance()->skipped_test_count() > 0) return 77;
  return status;
}
