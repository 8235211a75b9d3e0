#include "tools/bench/probes/event_rate.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>

#include "bpf/event_args.h"
#include "bpf/probes.h"
#include "tools/trace/file/trace_reader.h"
#include "tools/trace/record/record.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench {
namespace {

constexpr std::int64_t kTickNs = 1'000'000;

std::int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// Shared with the child that fires.
struct Progress {
  std::atomic<std::uint64_t> fired{0};
  std::atomic<bool> stop{false};
};

// A tick every millisecond, and in each as many probes as are due by then: a tick that comes late is made up
// for.
[[noreturn]] void fire(Progress& progress, double per_second) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::int64_t begin = now_ns();
  std::uint64_t fired = 0;
  for (std::int64_t tick = begin; !progress.stop; tick += kTickNs) {
    const timespec until{tick / 1'000'000'000, tick % 1'000'000'000};
    ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
    const auto due = static_cast<std::uint64_t>(static_cast<double>(now_ns() - begin) * 1e-9 * per_second);
    for (; fired < due && !progress.stop; ++fired)
      probe::rx_inject(1, static_cast<std::uint32_t>(fired), 66, 16, static_cast<std::uint16_t>(fired));
    progress.fired = fired;
  }
  ::_exit(0);
}

class Firing {
 public:
  explicit Firing(double per_second) {
    void* memory =
        ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    progress_ = new (memory) Progress;
    child_ = ::fork();
    if (child_ == 0) fire(*progress_, per_second);
  }
  Firing(const Firing&) = delete;
  Firing& operator=(const Firing&) = delete;
  ~Firing() {
    if (child_ > 0) {
      progress_->stop = true;
      ::waitpid(child_, nullptr, 0);
    }
    if (progress_ != nullptr) ::munmap(progress_, sizeof(Progress));
  }
  [[nodiscard]] pid_t pid() const { return child_; }

 private:
  Progress* progress_ = nullptr;
  pid_t child_ = -1;
};

struct FileRemoval {
  std::filesystem::path path;
  ~FileRemoval() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

}  // namespace

Result<EventRate> measure_event_rate(double per_second, double seconds,
                                     const std::filesystem::path& directory) {
  const auto path = directory / fmt::format("glassbox-rate-{}.trace", ::getpid());
  const FileRemoval removal{path};
  EventRate rate{.asked = per_second, .seconds = seconds, .losses = {}};
  {
    const Firing firing(per_second);
    if (firing.pid() < 0) return fail_errno(errno, "cannot start a process that fires probes");
    const auto summary = trace::record(
        {.target = {firing.pid(), {}, "the process that fires"}, .output = path, .duration_s = seconds});
    if (!summary) return tl::unexpected(summary.error());
    if (summary->signal_number != 0) return fail("ended by signal {}", summary->signal_number);
    rate.losses = summary->losses;
  }
  const auto trace = trace::read_trace(path);
  if (!trace) return tl::unexpected(trace.error());
  // What the probes carry says how many there were between the first and the last that arrived.
  std::uint64_t first = UINT64_MAX, last = 0;
  std::int64_t begin = 0, end = 0;
  for (const gb_event& event : trace->host.events) {
    if (event.kind != GB_KIND_rx_inject) continue;
    if (rate.recorded++ == 0) begin = static_cast<std::int64_t>(event.ts_ns);
    end = static_cast<std::int64_t>(event.ts_ns);
    first = std::min<std::uint64_t>(first, args::rx_inject(event).seq);
    last = std::max<std::uint64_t>(last, args::rx_inject(event).seq);
  }
  if (rate.recorded == 0 || end <= begin) return fail("none of the probes arrived");
  rate.probes = last - first + 1;
  rate.fired = static_cast<double>(rate.probes) / (static_cast<double>(end - begin) * 1e-9);
  rate.lost = trace->host.lost();
  return rate;
}

std::string event_rate_line(const EventRate& rate) {
  return fmt::format("{:.0f} events a second asked for, {:.0f} fired: {} of {} in the file, {} lost{}{}\n",
                     rate.asked, rate.fired, rate.recorded, rate.probes, rate.lost,
                     rate.losses.empty() ? "" : ": ", rate.losses);
}

nlohmann::json event_rate_json(const EventRate& rate) {
  return {{"asked_per_second", rate.asked}, {"fired_per_second", rate.fired}, {"seconds", rate.seconds},
          {"probes", rate.probes},          {"recorded", rate.recorded},      {"lost", rate.lost},
          {"losses", rate.losses}};
}

}  // namespace glassbox::bench
