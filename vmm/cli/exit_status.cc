#include "vmm/cli/exit_status.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string_view>

#include "vmm/base/printable.h"
#include "vmm/cli/command.h"

namespace glassbox::cli {

int exit_status(const MachineEnd& outcome) {
  switch (outcome.kind) {
    case MachineEnd::Kind::kStopped:
      return 0;
    case MachineEnd::Kind::kPanic:
      return kExitGuestPanic;
    case MachineEnd::Kind::kPoweredOff:
    case MachineEnd::Kind::kReset:
      return kExitGuestPoweredOff;
    case MachineEnd::Kind::kError:
      break;
  }
  return kExitOurFailure;
}

std::optional<int> exit_status(const client::CommandEnd& outcome) {
  switch (outcome.kind) {
    case client::CommandEnd::Kind::kExited:
      if (outcome.message.empty()) return outcome.status;
      return report(Error{outcome.message, 0}, outcome.status == 0 ? kExitOurFailure : outcome.status);
    case client::CommandEnd::Kind::kInterrupted:
      return outcome.message.empty() ? outcome.status : report(Error{outcome.message, 0}, outcome.status);
    case client::CommandEnd::Kind::kCannotRun:
      return report(Error{outcome.message, 0}, outcome.status);
    case client::CommandEnd::Kind::kLost:
      break;
  }
  return std::nullopt;
}

Result<VmWatch> VmWatch::open(const RunningVm& vm) {
  UniqueFd pid_fd(static_cast<int>(::syscall(SYS_pidfd_open, vm.pid, 0)));
  if (!pid_fd) return fail_errno(errno, "cannot watch the VM {} (pid {})", vm.name, vm.pid);
  UniqueFd file(::open((vm.dir / kOutcomeFile).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  return VmWatch(std::move(pid_fd), std::move(file));
}

std::optional<EndOfVm> VmWatch::wait(int timeout_ms) const {
  pollfd ended{pid_fd_.get(), POLLIN, 0};
  if (::poll(&ended, 1, timeout_ms) != 1) return std::nullopt;
  std::array<char, 1024> text{};
  const ssize_t n = file_ ? ::pread(file_.get(), text.data(), text.size() - 1, 0) : 0;
  EndOfVm end{kExitOurFailure, "the monitor was killed"};
  if (n <= 0) return end;
  const char* last = text.data() + n;
  const auto [rest, error] = std::from_chars(text.data(), last, end.status);
  if (error != std::errc() || rest >= last) return end;
  // The file may be another user's, and a guest's panic message is in it.
  std::string_view message(rest + 1, static_cast<std::size_t>(last - rest - 1));
  while (message.ends_with('\n'))
    message.remove_suffix(1);
  end.message = printable(message);
  return end;
}

}  // namespace glassbox::cli
