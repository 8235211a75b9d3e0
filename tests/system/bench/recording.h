// Runs `glassbox-trace record` on a live VM.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <memory>
#include <string>

#include "tests/system/bench/live_vm.h"
#include "tools/trace/file/trace_reader.h"

namespace glassbox::bench::testing {

class Recording {
 public:
  Recording(const LiveVm& vm, std::string path) : path_(std::move(path)) {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    const UniqueFd theirs(fds[1]);
    ready_.reset(fds[0]);
    auto child = Child::start({.what = "glassbox-trace record",
                               .argv = {program_path("glassbox-trace"), "record", "--name", vm.name(), "-o",
                                        path_, "--ready-fd", std::to_string(theirs.get())},
                               .inherit = {theirs.get()},
                               .stop_signal = SIGINT});
    EXPECT_TRUE(child.has_value());
    child_ = std::move(*child);
  }
  // Waits until both sides are attached; false if the recorder ended instead.
  bool ready() {
    char byte = 0;
    return ::read(ready_.get(), &byte, 1) == 1;
  }
  // Ends it as a crash would: it cannot clean up.
  void kill() {
    child_->signal(SIGKILL);
    while (!child_->wait(1000)) {
    }
  }
  // Ends it as Ctrl-C does and reads its trace.
  trace::Trace finish() {
    EXPECT_EQ(child_->stop(180'000).code, 0) << child_->err();
    auto trace = trace::read_trace(path_);
    EXPECT_TRUE(trace.has_value()) << trace.error().message;
    return trace ? std::move(*trace) : trace::Trace{};
  }

 private:
  std::string path_;
  UniqueFd ready_;
  std::unique_ptr<Child> child_;
};

}  // namespace glassbox::bench::testing
