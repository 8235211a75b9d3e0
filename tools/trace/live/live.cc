#include "tools/trace/live/live.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>

#include "bpf/host_tracer.h"
#include "tools/trace/live/live_window.h"
#include "tools/trace/record/machine.h"
#include "tools/trace/record/stop_signals.h"
#include "vmm/base/clock.h"
#include "vmm/base/io.h"

namespace glassbox::trace {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr int kRingIntervalMs = 20;
constexpr std::string_view kHomeAndClear = "\x1b[H\x1b[2J";

std::string render(const LiveSnapshot& snapshot, const LiveOptions& options, bool terminal) {
  if (options.json) return to_json(snapshot).dump() + "\n";
  if (!terminal) return format_live_line(snapshot);
  return std::string(kHomeAndClear) + format_live_page(snapshot, options.target.description + ", live");
}

}  // namespace

Status live(const LiveOptions& options) {
  GB_ASSIGN(const StopSignals signals, StopSignals::take_over());
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, options.target.pid, 0)));
  if (!process) return fail_errno(errno, "cannot watch process {}", options.target.pid);
  GB_ASSIGN(const auto host, bpf::HostTracer::open(options.target.pid));
  LiveWindow window(trace_info(options.target.pid), host->attached());
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const auto interval = std::chrono::duration_cast<Clock::duration>(Seconds(options.interval_s));
  const auto begin = Clock::now();
  const auto end = options.duration_s
                       ? begin + std::chrono::duration_cast<Clock::duration>(Seconds(*options.duration_s))
                       : Clock::time_point::max();
  for (auto next = begin + interval; Clock::now() < end;) {
    pollfd fds[] = {{signals.fd(), POLLIN, 0}, {process.get(), POLLIN, 0}};
    if (::poll(fds, 2, kRingIntervalMs) < 0 && errno != EINTR) return fail_errno(errno, "poll");
    GB_TRY(host->poll([&window](const gb_event& event) { window.add(event); }));
    if (signals.take() != 0) break;
    const bool over = fds[1].revents != 0;
    if (!over && Clock::now() < next) continue;
    next = std::max(next + interval, Clock::now());
    const LiveSnapshot snapshot =
        window.snapshot(static_cast<std::int64_t>(monotonic_ns()), host->drops().total());
    if (!write_all(STDOUT_FILENO, render(snapshot, options, terminal)) || over) break;
  }
  return {};
}

}  // namespace glassbox::trace
