#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdio>

#include "guest/protocol.h"
#include "vmm/base/clock.h"
#include "vmm/cli/command.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/run.h"
#include "vmm/client/console_keys.h"
#include "vmm/client/session.h"

namespace glassbox::cli {
namespace {

constexpr std::size_t kShownLines = 20;
constexpr std::uint64_t kPatienceNs = 60 * kNsPerSecond;  // then a message says that the agent is not up yet
constexpr int kConnectS = 30;                             // a ready agent answers at once
constexpr int kEndMs = 10'000;  // between the loss of the agent and the end of the machine

struct Event {
  enum class Kind { kReady, kEnded, kSignal, kTimeout, kLeft } kind;
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
Event next_event(VmHost& vm, const client::SignalWatch& signals, bool want_ready, int timeout_ms,
                 client::ConsoleKeys* keys = nullptr) {
  for (;;) {
    std::array<pollfd, 4> fds{{{signals.fd(), POLLIN, 0},
                               {vm.ended_fd(), POLLIN, 0},
                               {want_ready ? vm.ready_fd() : -1, POLLIN, 0},
                               {keys != nullptr ? keys->fd() : -1, POLLIN, 0}}};
    const int n = ::poll(fds.data(), fds.size(), timeout_ms);
    if (n == 0) return {Event::Kind::kTimeout};
    if (const auto signal = take_end_signal(signals)) return {Event::Kind::kSignal, *signal};
    if (fds[1].revents != 0) return {Event::Kind::kEnded};
    if (fds[2].revents != 0 && vm.take_ready()) return {Event::Kind::kReady};
    if (fds[3].revents != 0 && !keys->pass_on()) return {Event::Kind::kLeft};
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
  const std::string tail = expected ? "" : vm.console_crash(kShownLines);
  if (!tail.empty()) std::fprintf(stderr, "glassbox: the guest's console ended with:\n%s", tail.c_str());
  return report(Error{outcome.message, 0}, exit_status(outcome));
}

int stop_for_signal(VmHost& vm, int signal) {
  vm.stop();
  (void)vm.wait();
  return 128 + signal;
}

// The guest is of no use: the last lines of its console, and the VM ends.
int give_up(VmHost& vm, const std::string& why) {
  const std::string tail = vm.console_crash(kShownLines);
  if (!tail.empty()) std::fprintf(stderr, "glassbox: the guest's console so far:\n%s", tail.c_str());
  vm.stop();
  (void)vm.wait();
  return report(Error{why, 0}, kExitOurFailure);
}

// A guest that powers itself off before its agent is up has said why on its console.
int report_end_of_start(VmHost& vm) {
  const MachineEnd& outcome = vm.wait();
  const bool by_guest =
      outcome.kind == MachineEnd::Kind::kPoweredOff || outcome.kind == MachineEnd::Kind::kReset;
  const std::string tail = by_guest ? vm.console_tail(kShownLines) : "";
  if (!tail.empty()) std::fprintf(stderr, "glassbox: the guest's console ended with:\n%s", tail.c_str());
  return report_end(vm);
}

// Nothing once the agent is up; the exit status if the VM ends or a signal comes first.
std::optional<int> wait_until_ready(VmHost& vm, const client::SignalWatch& signals, unsigned limit_s) {
  const std::uint64_t begin = monotonic_ns();
  const std::uint64_t end = limit_s == 0 ? ~0ULL : begin + limit_s * kNsPerSecond;
  std::uint64_t remind = begin + kPatienceNs;
  for (;;) {
    const std::uint64_t now = monotonic_ns();
    if (now >= end)
      return give_up(vm,
                     fmt::format("the agent in the guest is not up after {} s (--start-timeout)", limit_s));
    if (now >= remind) {
      std::fprintf(stderr, "glassbox: still waiting for the agent in the guest; its console so far:\n%s",
                   vm.console_tail(kShownLines).c_str());
      remind = ~0ULL;
    }
    const std::uint64_t wait_ms =
        std::min<std::uint64_t>((std::min(end, remind) - now) / kNsPerMs + 1, INT_MAX);
    const Event event = next_event(vm, signals, true, static_cast<int>(wait_ms));
    if (event.kind == Event::Kind::kReady && vm.failure().empty()) return std::nullopt;
    if (event.kind == Event::Kind::kReady) return give_up(vm, vm.failure());
    if (event.kind == Event::Kind::kEnded) return report_end_of_start(vm);
    if (event.kind == Event::Kind::kSignal) return stop_for_signal(vm, event.signal);
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
  if (const auto status = wait_until_ready(**vm, *signals, options.start_timeout_s)) return *status;

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
  std::optional<client::ConsoleKeys> keys;
  VmSpec spec = options.vm;
  spec.console_input = STDIN_FILENO;
  if (::isatty(STDIN_FILENO) == 1) {
    std::fputs("glassbox: Ctrl-] ends the VM\n", stderr);
    auto made = client::ConsoleKeys::create(STDIN_FILENO);
    if (!made) return report(made.error(), kExitOurFailure);
    spec.console_input = made->console_end();
    keys.emplace(std::move(*made));
  }
  auto vm = VmHost::start(std::move(spec), *signals);
  if (!vm) keys.reset();  // the terminal first: a message in raw mode is hard to read
  if (!vm) return report(vm.error(), kExitOurFailure);
  const Event event = next_event(**vm, *signals, false, -1, keys ? &*keys : nullptr);
  if (keys) keys->restore_terminal();
  if (event.kind != Event::Kind::kEnded) (*vm)->stop();
  const MachineEnd outcome = (*vm)->wait();
  vm->reset();  // its console reads the keys to the end
  keys.reset();
  if (event.kind == Event::Kind::kSignal) return 128 + event.signal;
  if (event.kind == Event::Kind::kLeft) return 0;
  return report(Error{outcome.message, 0}, exit_status(outcome));
}

int run_detached(const RunOptions& options) {
  return run_as_daemon([&](ReadyReport& ready) {
    const auto signals = client::SignalWatch::create();
    if (!signals) return report(signals.error(), kExitOurFailure);
    auto vm = VmHost::start(options.vm, *signals);
    if (!vm) return report(vm.error(), kExitOurFailure);
    if (const auto status = wait_until_ready(**vm, *signals, options.start_timeout_s)) return *status;
    if (!ready.ready((*vm)->name())) return kExitOurFailure;
    const Event event = next_event(**vm, *signals, false, -1);
    if (event.kind == Event::Kind::kSignal) return stop_for_signal(**vm, event.signal);
    return exit_status((*vm)->wait());
  });
}

}  // namespace glassbox::cli
