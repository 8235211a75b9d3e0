// What the probes cost the frame path while nobody listens, in instructions, counted by valgrind.
//
// The aim is a nop a probe. It is not met: measured, a segment of one byte passes three probes and takes 1010
// instructions with them and 960.5 with them compiled out, 49.5 more. The nops are 3 of these; the rest is in
// NatImpl::on_guest_frame and Tcp::deliver, which differ in the code around the probes and in having their
// arguments ready. This test holds the difference where it is until the aim is met.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

namespace glassbox {
namespace {

// Not the aim, but what was measured, and some room for another compiler.
constexpr double kMostInstructions = 64;

struct Close {
  void operator()(FILE* file) const { ::pclose(file); }
};

// Instructions within Nat::on_guest_frame; callgrind says "Collected : N".
std::optional<double> count(const std::string& program, int segments) {
  const std::string command =
      "valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no "
      "'--toggle-collect=*::NatImpl::on_guest_frame(*' '" +
      program + "' " + std::to_string(segments) + " 2>&1";
  const std::unique_ptr<FILE, Close> pipe(::popen(command.c_str(), "r"));
  if (!pipe) return {};
  std::optional<double> instructions;
  bool done = false;
  for (std::array<char, 512> line{}; std::fgets(line.data(), line.size(), pipe.get()) != nullptr;) {
    const std::string text(line.data());
    done |= text == "done\n";
    if (const auto at = text.find("Collected : "); at != std::string::npos)
      instructions = std::strtod(text.c_str() + at + 12, nullptr);
  }
  return done ? instructions : std::nullopt;
}

// Of one segment, start-up and handshake taken off.
std::optional<double> per_segment(const std::string& program) {
  constexpr int kFew = 100, kMany = 1100;
  const auto few = count(program, kFew), many = count(program, kMany);
  if (!few || !many) return {};
  return (*many - *few) / (kMany - kFew);
}

TEST(ProbeOff, CostsNoMoreThanItDid) {
  if (std::system("valgrind --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "valgrind is not installed";
  if (GLASSBOX_SANITIZED) GTEST_SKIP() << "valgrind cannot run a program with sanitizers";
  const auto with = per_segment(FRAME_PATH_WITH), without = per_segment(FRAME_PATH_WITHOUT);
  ASSERT_TRUE(with);
  ASSERT_TRUE(without);
  std::printf("instructions a segment: %.2f with probes (off), %.2f compiled out, %.2f more\n", *with,
              *without, *with - *without);
  EXPECT_GT(*without, 100);
  EXPECT_GT(*with, *without) << "the probes are compiled out of both";
  EXPECT_LE(*with - *without, kMostInstructions);
}

}  // namespace
}  // namespace glassbox
