// Runs glassbox-trace as a user does.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

namespace glassbox::trace {

struct Ran {
  int status = -1;
  std::string output;
};

// Its standard output, with whatever it redirects there.
inline Ran run_command(const std::string& command) {
  Ran run;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return run;
  std::array<char, 4096> buffer{};
  for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    run.output.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  run.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return run;
}

inline Ran run_program(const std::string& arguments) {
  const bool redirects = arguments.find('>') != std::string::npos;
  return run_command(GLASSBOX_TRACE_PROGRAM " " + arguments + (redirects ? "" : " 2>&1"));
}

inline void expect_one_line(const Ran& run, int status, const std::string& text) {
  EXPECT_EQ(run.status, status) << run.output;
  EXPECT_THAT(run.output, ::testing::HasSubstr(text));
  EXPECT_EQ(std::count(run.output.begin(), run.output.end(), '\n'), 1) << run.output;
  EXPECT_EQ(run.output.rfind("glassbox-trace: error: ", 0), 0U) << run.output;
}

}  // namespace glassbox::trace
