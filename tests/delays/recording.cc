#include "tests/delays/recording.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "tools/bench/process/paths.h"
#include "tools/trace/file/trace_reader.h"

namespace glassbox::delays {
namespace {

constexpr int kReadyLimitMs = 120'000, kEndLimitMs = 170'000;

}  // namespace

Result<Recording> Recording::start(const std::vector<std::string>& target,
                                   const std::filesystem::path& file) {
  int fds[2] = {};
  if (::pipe2(fds, O_CLOEXEC) < 0) return fail_errno(errno, "pipe");
  const UniqueFd ready(fds[0]);
  UniqueFd theirs(fds[1]);
  const auto program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "glassbox-trace";
  bench::ChildSpec spec{.what = "glassbox-trace record",
                        .argv = {program, "record", "-o", file, "--ready-fd", std::to_string(theirs.get())},
                        .inherit = {theirs.get()},
                        .stop_signal = SIGINT};
  spec.argv.insert(spec.argv.end(), target.begin(), target.end());
  Recording recording;
  recording.file_ = file;
  GB_ASSIGN(recording.child_, bench::Child::start(std::move(spec)));
  theirs.reset();
  pollfd poll_fd{ready.get(), POLLIN, 0};
  char byte = 0;
  if (::poll(&poll_fd, 1, kReadyLimitMs) != 1 || ::read(ready.get(), &byte, 1) != 1) {
    recording.child_->stop(1000);
    return fail("{}", recording.child_->how_it_ended());
  }
  return recording;
}

Result<trace::Trace> Recording::finish() {
  if (const auto status = child_->stop(kEndLimitMs); !status.ok()) return fail("{}", child_->how_it_ended());
  return trace::read_trace(file_);
}

}  // namespace glassbox::delays
