#include "tools/trace/record/record.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>

#include <chrono>

#include "bpf/host_tracer.h"
#include "tools/trace/file/kinds.h"
#include "tools/trace/file/trace_writer.h"
#include "tools/trace/record/calibrate.h"
#include "tools/trace/record/guest_session.h"
#include "tools/trace/record/machine.h"
#include "tools/trace/record/stop_signals.h"
#include "tools/trace/report/report.h"
#include "vmm/base/runtime_dir.h"

namespace glassbox::trace {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kRingIntervalMs = 20;
// For the agent to load its programs, and to send what it buffered: much slower in an emulated guest.
constexpr auto kReadyLimit = std::chrono::seconds(100);
constexpr auto kBusyRetry = milliseconds(250);
// For the agent to answer at all; one that has before does not take as long.
constexpr int kFirstPatienceS = 30, kRetryPatienceS = 1;
constexpr auto kEndLimit = std::chrono::seconds(150);

DropCounters counters(const bpf::HostDrops& drops) {
  DropCounters counters = {{"ring_full", drops.ring_full},
                           {"map_errors", drops.map_errors},
                           {"recursion_misses", drops.recursion_misses}};
  for (std::size_t kind = 0; kind < drops.ring_full_by_kind.size(); ++kind)
    if (drops.ring_full_by_kind[kind] != 0)
      counters[fmt::format("ring_full:{}", kind_name(static_cast<std::uint16_t>(kind)))] =
          drops.ring_full_by_kind[kind];
  for (const auto& [hook, count] : drops.misses_by_hook)
    counters[fmt::format("recursion_misses:{}", hook)] = count;
  return counters;
}

std::uint64_t sum_of_losses(const DropCounters& drops) {
  std::uint64_t sum = 0;
  for (const auto& [name, count] : drops)
    if (name != "own_events" && !is_share(name)) sum += count;
  return sum;
}

void append_losses(std::string_view side, const DropCounters& drops, std::string& text) {
  for (const auto& [name, count] : drops)
    if (count != 0 && name != "own_events")
      text += fmt::format("{}{} {} {}", text.empty() ? "" : ", ", side, name, count);
}

class Recorder {
 public:
  Recorder(const RecordOptions& options, std::unique_ptr<bpf::HostTracer> host, TraceWriter writer,
           StopSignals signals, UniqueFd process)
      : options_(options),
        host_(std::move(host)),
        writer_(std::move(writer)),
        signals_(std::move(signals)),
        process_(std::move(process)) {}

  // agent: the connection to it, or why there is none; not looked at for a target without a guest.
  Result<RecordSummary> run(Result<UniqueFd> agent) {
    GB_TRY(begin());
    if (options_.target.vsock_path.empty())
      summary_.note = "host side only: " + options_.target.description + " has no guest of ours";
    else
      start_guest(std::move(agent));
    GB_TRY(wait_for_guest());
    if (guest_) GB_TRY(writer_.add_hooks(Origin::kGuest, guest_->hooks()));
    announce_ready();
    const auto end = options_.duration_s
                         ? Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                              std::chrono::duration<double>(*options_.duration_s))
                         : Clock::time_point::max();
    GB_TRY(wait_until(end, [this] { return stopping_; }));
    GB_TRY(finish_guest());
    GB_TRY(finish_host());
    return summary_;
  }

 private:
  // Where an earlier recorder was killed, the guest's agent takes a while to end its session.
  Status wait_for_guest() {
    const auto end = Clock::now() + kReadyLimit;
    for (;;) {
      GB_TRY(wait_until(end, [this] { return !guest_ || guest_->ready() || stopping_; }));
      if (!agent_busy_ || guest_ || stopping_ || Clock::now() >= end) break;
      GB_TRY(wait_until(Clock::now() + kBusyRetry, [this] { return stopping_; }));
      agent_busy_ = false;
      summary_.note.clear();
      start_guest(GuestSession::connect(options_.target.vsock_path, kRetryPatienceS, signals_.fd()));
    }
    if (guest_ && !guest_->ready()) lose_guest("its agent did not get ready in time");
    return {};
  }

  Status begin() {
    std::vector<std::string> hooks;
    for (const bpf::Hook& hook : host_->attached())
      hooks.push_back(bpf::hook_line(hook));
    GB_TRY(writer_.add_hooks(Origin::kHost, hooks));
    if (!options_.meta.empty()) GB_TRY(writer_.add_meta(options_.meta));
    if (const auto cost = measure_probe_cost())
      GB_TRY(writer_.add_meta({{"probe_cost", {{"hit_ns", cost->hit_ns}, {"hits", cost->hits}}}}));
    else
      GB_TRY(writer_.add_note("the probes' cost is not known: " + cost.error().message));
    return {};
  }

  void start_guest(Result<UniqueFd> agent) {
    if (!agent) return lose_guest(agent.error().message);
    auto session = GuestSession::start_over(std::move(*agent));
    if (session)
      guest_.emplace(std::move(*session));
    else
      lose_guest(session.error().message);
  }

  // From here on the recording has its host side only.
  void lose_guest(const std::string& why) {
    summary_.note =
        (summary_.guest_events == 0 ? "host side only: " : "the guest's side is cut short: ") + why;
    guest_.reset();
  }

  template <typename Done>
  Status wait_until(Clock::time_point end, Done&& done) {
    while (!done() && Clock::now() < end) {
      pollfd fds[] = {
          {signals_.fd(), POLLIN, 0}, {process_.get(), POLLIN, 0}, {guest_ ? guest_->fd() : -1, POLLIN, 0}};
      const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now()).count() + 1;
      const int wait_ms =
          left < kRingIntervalMs ? static_cast<int>(std::max<long>(left, 0)) : kRingIntervalMs;
      if (::poll(fds, 3, wait_ms) < 0 && errno != EINTR) return fail_errno(errno, "poll");
      if ((fds[0].revents & POLLIN) != 0) take_signal();
      if (fds[2].revents != 0) read_guest();
      GB_TRY(read_host());
      if (write_error_) return tl::unexpected<Error>(*write_error_);
      if ((fds[1].revents & POLLIN) != 0) {
        if (!ended_early_ && !finishing_)
          summary_.note = options_.target.description + " ended while it was recorded";
        ended_early_ = stopping_ = true;
        if (finishing_) return {};
      }
    }
    return {};
  }

  void take_signal() {
    if (const int number = signals_.take(); number != 0) summary_.signal_number = number;
    // A second signal while the guest's rest is awaited ends the wait; the host's side is kept.
    if (finishing_) cut_short_ = true;
    stopping_ = true;
  }

  Status keep(Status status) {
    if (!status && !write_error_) write_error_ = status.error();
    return status;
  }

  void read_guest() {
    const Status status = guest_->read([this](const gb_event& event) {
      ++summary_.guest_events;
      return keep(writer_.add_event(Origin::kGuest, event));
    });
    if (status || write_error_) return;
    agent_busy_ = guest_->busy();
    lose_guest(status.error().message);
  }

  Status read_host() {
    GB_TRY(host_->poll([this](const gb_event& event) {
      ++summary_.host_events;
      (void)keep(writer_.add_event(Origin::kHost, event));
    }));
    if (Clock::now() - flushed_ > std::chrono::seconds(1)) {
      GB_TRY(writer_.add_drops(Origin::kHost, counters(host_->drops())));
      GB_TRY(writer_.flush());
      flushed_ = Clock::now();
    }
    return {};
  }

  void announce_ready() const {
    if (options_.ready_fd < 0) return;
    const char byte = '\n';
    (void)!::write(options_.ready_fd, &byte, 1);
  }

  Status finish_guest() {
    finishing_ = true;
    if (!guest_) return {};
    if (const Status asked = guest_->stop(); !asked) {
      lose_guest(asked.error().message);
      return {};
    }
    GB_TRY(wait_until(Clock::now() + kEndLimit, [this] { return !guest_ || guest_->ended() || cut_short_; }));
    if (guest_ && !guest_->ended()) {
      lose_guest(ended_early_ ? "the VM ended"
                 : cut_short_ ? "a second signal ended the recording before its agent had finished"
                              : "its agent did not finish in time");
    }
    if (!guest_) return {};
    summary_.guest_traced = true;
    summary_.guest_drops = sum_of_losses(guest_->drops());
    append_losses("guest", guest_->drops(), summary_.losses);
    return writer_.add_drops(Origin::kGuest, guest_->drops());
  }

  Status finish_host() {
    host_->detach();
    GB_TRY(read_host());
    const DropCounters drops = counters(host_->drops());
    summary_.host_drops = sum_of_losses(drops);
    append_losses("host", drops, summary_.losses);
    GB_TRY(writer_.add_drops(Origin::kHost, drops));
    if (const auto errors = host_->drops().argument_errors; errors > 0)
      GB_TRY(
          writer_.add_note(fmt::format("{} arguments of host probes could not be read and are 0", errors)));
    if (!summary_.note.empty()) GB_TRY(writer_.add_note(summary_.note));
    return writer_.finish();
  }

  const RecordOptions& options_;
  std::unique_ptr<bpf::HostTracer> host_;
  TraceWriter writer_;
  StopSignals signals_;
  UniqueFd process_;
  std::optional<GuestSession> guest_;
  RecordSummary summary_;
  bool stopping_ = false, finishing_ = false, cut_short_ = false, ended_early_ = false, agent_busy_ = false;
  std::optional<Error> write_error_;
  Clock::time_point flushed_ = Clock::now();
};

}  // namespace

Result<UniqueFd> claim_recording(const RecordTarget& target) {
  if (target.vsock_path.empty()) return UniqueFd();
  const auto path = target.vsock_path.parent_path() / "info.json";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail_errno(errno, "{}: cannot open {}", target.description, path.string());
  struct flock lock {};
  lock.l_type = F_WRLCK;
  if (::fcntl(fd.get(), F_SETLK, &lock) == 0) return fd;
  if (errno != EAGAIN && errno != EACCES) return fail_errno(errno, "cannot lock {}", path.string());
  if (::fcntl(fd.get(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK || lock.l_pid <= 0)
    return fail("{} is being recorded by another process", target.description);
  return fail("{} is being recorded by process {}: one recording at a time", target.description, lock.l_pid);
}

Result<RecordTarget> find_target(const std::optional<std::string>& name, std::optional<pid_t> pid) {
  const auto target_of = [](const RunningVm& vm) {
    return RecordTarget{vm.pid, vm.vsock_path(), fmt::format("VM {} (pid {})", vm.name, vm.pid)};
  };
  if (name) {
    GB_ASSIGN(const RunningVm vm, find_running_vm(*name));
    return target_of(vm);
  }
  const auto running = list_running_vms();
  if (pid) {
    for (const RunningVm& vm : running)
      if (vm.pid == *pid) return target_of(vm);
    return RecordTarget{*pid, {}, fmt::format("process {}", *pid)};
  }
  if (running.size() == 1) return target_of(running.front());
  if (running.empty()) return fail("no VM is running: start one with `glassbox run`");
  return fail("{} VMs are running: say which with --name (see `glassbox ls`)", running.size());
}

Result<RecordSummary> record(const RecordOptions& options) {
  GB_ASSIGN(const UniqueFd claim, claim_recording(options.target));
  GB_ASSIGN(StopSignals signals, StopSignals::take_over());
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, options.target.pid, 0)));
  if (!process && errno == ESRCH)
    return fail("there is no process {}: `glassbox ls` lists the VMs that run", options.target.pid);
  if (!process) return fail_errno(errno, "cannot watch process {}", options.target.pid);
  // A guest answers when it likes, or never. While that is waited for nobody would read the host's ring
  // buffer, so nothing is attached yet; and a signal ends the wait.
  Result<UniqueFd> agent;
  if (const auto& path = options.target.vsock_path; !path.empty())
    agent = GuestSession::connect(path, kFirstPatienceS, signals.fd());
  GB_ASSIGN(auto host, bpf::HostTracer::open(options.target.pid, {.ring_bytes = options.ring_bytes}));
  GB_ASSIGN(TraceWriter writer, TraceWriter::create(options.output, trace_info(options.target.pid)));
  Recorder recorder(options, std::move(host), std::move(writer), std::move(signals), std::move(process));
  return recorder.run(std::move(agent));
}

}  // namespace glassbox::trace
