#include "tools/bench/measure/trace_recording.h"

#include <sys/socket.h>

#include <array>

#include "tools/bench/process/paths.h"

namespace glassbox::bench {
namespace {

constexpr int kAttachLimitS =
    120;  // loading and verifying on both sides is 1 s on hardware, several in the lab
constexpr int kFinishLimitS = 180;

}  // namespace

Result<std::unique_ptr<TraceRecording>> TraceRecording::start(std::vector<std::string> subject,
                                                              const std::string& path, Watch& watch) {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) < 0)
    return fail_errno(errno, "socketpair");
  const UniqueFd ours(fds[0]);
  UniqueFd theirs(fds[1]);
  std::vector<std::string> argv{program("glassbox-trace"), "record"};
  argv.insert(argv.end(), subject.begin(), subject.end());
  argv.insert(argv.end(), {"-o", path, "--ready-fd", std::to_string(theirs.get())});
  GB_ASSIGN(auto child, Child::start({.what = "glassbox-trace record",
                                      .argv = std::move(argv),
                                      .inherit = {theirs.get()},
                                      .stop_signal = SIGINT}));
  theirs.reset();
  GB_TRY(watch.wait_readable(ours.get(), *child, kAttachLimitS));
  char byte = 0;
  if (::read(ours.get(), &byte, 1) != 1) {
    // It closed its end without a byte: it failed, and is about to print why and exit.
    GB_ASSIGN(const ExitStatus status, watch.wait(*child, kAttachLimitS));
    if (status.ok()) return fail("glassbox-trace record ended before it was ready");
    return fail("{}", child->how_it_ended());
  }
  return std::unique_ptr<TraceRecording>(new TraceRecording(std::move(child)));
}

Status TraceRecording::finish(Watch& watch) {
  child_->signal(SIGINT);
  GB_ASSIGN(const ExitStatus status, watch.wait(*child_, kFinishLimitS));
  if (!status.ok()) return fail("{}", child_->how_it_ended());
  return {};
}

}  // namespace glassbox::bench
