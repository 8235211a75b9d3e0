#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "guest/protocol.h"
#include "vmm/cli/command.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/run.h"
#include "vmm/client/session.h"

namespace glassbox::cli {
namespace {

constexpr std::size_t kShownLines = 20;
constexpr int kPatienceMs = 60'000;  // then a message says that the agent is not up yet
constexpr int kConnectS = 30;        // a ready agent answers at once
constexpr int kEndMs = 10'000;       // between the loss of the agent and the end of the machine

struct Event {
  enum class Kind { kReady, kEnded, kSignal, kTimeout } kind;
  int signal = 0;
};

// A pending signal that asks this process to end; changes of the window size are skipped.
std::optional<int> take_end_signal(const client::SignalWatch& signals) {
  while (const auto signal = signals.take()) {
    if (*signal != SIGWINCH) return signal;
  }
  return std::nullopt;
}

// The next thing that happens to the VM.
Event next_event(VmHost& vm, const client::SignalWatch& signals, bool want_ready, int timeout_ms) {
  for (;;) {
    std::array<pollfd, 3> fds{{{signals.fd(), POLLIN, 0},
                               {vm.ended_fd(), POLLIN, 0},
                               {want_ready ? vm.ready_fd() : -1, POLLIN, 0}}};
    const int n = ::poll(fds.data(), fds.size(), timeout_ms);
    if (n == 0) return {Event::Kind::kTimeout};
    if (const auto signal = take_end_signal(signals)) return {Event::Kind::kSignal, *signal};
    if (fds[1].revents != 0) return {Event::Kind::kEnded};
    if (fds[2].revents != 0 && vm.take_ready()) return {Event::Kind::kReady};
  }
}

// The machine has ended, or is about to, without being asked: reports it, with the last lines of its console.
int report_end(VmHost& vm) {
  pollfd ended{vm.ended_fd(), POLLIN, 0};
  const bool by_itself = ::poll(&ended, 1, kEndMs) == 1;
  vm.stop();
  const MachineEnd& outcome = vm.wait();
  if (!by_itself) {
    return report(Error{"lost the guest's agent while the guest kept running: stopped the VM", 0},
                  kExitOurFailure);
  }
  const bool expected =
      outcome.kind == MachineEnd::Kind::kPoweredOff || outcome.kind == MachineEnd::Kind::kReset;
  const std::string tail = expected ? "" : vm.console_tail(kShownLines);
  if (!tail.empty()) std::fprintf(stderr, "glassbox: the guest's console ended with:\n%s", tail.c_str());
  return report(Error{outcome.message, 0}, exit_status(outcome));
}

int stop_for_signal(VmHost& vm, int signal) {
  vm.stop();
  (void)vm.wait();
  return 128 + signal;
}

// Nothing once the agent is up; the exit status if the VM ends or a signal comes first.
std::optional<int> wait_until_ready(VmHost& vm, const client::SignalWatch& signals) {
  int timeout_ms = kPatienceMs;
  for (;;) {
    const Event event = next_event(vm, signals, true, timeout_ms);
    switch (event.kind) {
      case Event::Kind::kReady:
        return std::nullopt;
      case Event::Kind::kEnded:
        return report_end(vm);
      case Event::Kind::kSignal:
        return stop_for_signal(vm, event.signal);
      case Event::Kind::kTimeout:
        std::fprintf(stderr, "glassbox: still waiting for the agent in the guest; its console so far:\n%s",
                     vm.console_tail(kShownLines).c_str());
        timeout_ms = -1;
    }
  }
}

client::CommandSpec command_spec(const RunOptions& options) {
  client::CommandSpec spec{.argv = options.command, .env = client::terminal_env()};
  if (spec.argv.empty()) spec.argv = {"sh", "-l"};
  spec.tty = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  return spec;
}

}  // namespace

int run_with_command(const RunOptions& options) {
  const auto signals = client::SignalWatch::create();
  if (!signals) return report(signals.error(), kExitOurFailure);
  auto vm = VmHost::start(options.vm, *signals);
  if (!vm) return report(vm.error(), kExitOurFailure);
  if (const auto status = wait_until_ready(**vm, *signals)) return *status;

  Result<UniqueFd> connection;
  do {
    if (const auto signal = take_end_signal(*signals)) return stop_for_signal(**vm, *signal);
    connection = connect_vsock((*vm)->vsock_path(), protocol::kExecPort, kConnectS, signals->fd());
  } while (!connection && connection.error().code == ECANCELED);
  if (!connection) return report(connection.error(), kExitOurFailure);
  auto outcome = client::run_command(std::move(*connection), command_spec(options), {}, *signals);
  if (!outcome) return report(outcome.error(), kExitOurFailure);
  if (const auto status = exit_status(*outcome)) return *status;
  return report_end(**vm);
}

int run_with_console(const RunOptions& options) {
  const auto signals = client::SignalWatch::create();
  if (!signals) return report(signals.error(), kExitOurFailure);
  auto vm = VmHost::start(options.vm, *signals);
  if (!vm) return report(vm.error(), kExitOurFailure);
  const Event event = next_event(**vm, *signals, false, -1);
  if (event.kind == Event::Kind::kSignal) return stop_for_signal(**vm, event.signal);
  const MachineEnd& outcome = (*vm)->wait();
  return report(Error{outcome.message, 0}, exit_status(outcome));
}

int run_detached(const RunOptions& options) {
  return run_as_daemon([&](ReadyReport& ready) {
    const auto signals = client::SignalWatch::create();
    if (!signals) return report(signals.error(), kExitOurFailure);
    auto vm = VmHost::start(options.vm, *signals);
    if (!vm) return report(vm.error(), kExitOurFailure);
    if (const auto status = wait_until_ready(**vm, *signals)) return *status;
    if (!ready.ready((*vm)->name())) return kExitOurFailure;
    const Event event = next_event(**vm, *signals, false, -1);
    if (event.kind == Event::Kind::kSignal) return stop_for_signal(**vm, event.signal);
    return exit_status((*vm)->wait());
  });
}

}  // namespace glassbox::cli
