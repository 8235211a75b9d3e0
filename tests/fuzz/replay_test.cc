// Runs the saved inputs of one fuzz target, so that a fixed defect stays fixed, in every build and under
// every sanitizer.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace {

TEST(FuzzCorpus, Replays) {
  std::size_t inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(GLASSBOX_CORPUS)) {
    // A violation ends the process, so print the input's name first.
    std::fprintf(stderr, "%s\n", entry.path().filename().c_str());
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<char> text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    // Exactly the input's size is allocated, so that a sanitizer sees a read beyond it.
    const std::vector<std::uint8_t> bytes(text.begin(), text.end());
    EXPECT_EQ(LLVMFuzzerTestOneInput(bytes.data(), bytes.size()), 0);
    ++inputs;
  }
  EXPECT_GE(inputs, 4U);
}

}  // namespace
