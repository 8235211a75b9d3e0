#include "tools/trace/record/record.h"

#include <poll.h>
#include <sys/syscall.h>

#include <chrono>

#include "bpf/host_tracer.h"
#include "tools/trace/file/kinds.h"
#include "tools/trace/file/trace_writer.h"
#include "tools/trace/record/agent_stream.h"
#include "tools/trace/record/calibrate.h"
#include "tools/trace/record/machine.h"
#include "tools/trace/record/stop_signals.h"

namespace glassbox::trace {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kRingIntervalMs = 20;
// How long the agent may take to load its programs, and, at the end, to send what it has buffered. Both are
// much slower in an emulated guest.
constexpr auto kReadyLimit = std::chrono::seconds(100);
constexpr auto kEndLimit = std::chrono::seconds(150);
// How long the agent may take to answer a connection: the first time, and after it has answered once.
constexpr int kFirstPatienceS = 30, kRetryPatienceS = 1;
// How long to wait before an agent that serves another recorder is tried again.
constexpr auto kBusyRetry = milliseconds(250);

// The host's losses as a trace file has them.
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

// One recording, from the attached host to the end mark (see the theory of operation in record.h).
class RecordLoop {
 public:
  RecordLoop(const RecordOptions& options, std::unique_ptr<bpf::HostTracer> host, TraceWriter writer,
             StopSignals signals, UniqueFd process)
      : options_(options),
        host_(std::move(host)),
        writer_(std::move(writer)),
        signals_(std::move(signals)),
        process_(std::move(process)) {}

  // `agent` is the connection to the agent, or why there is none. A target without a guest does not use it.
  Result<RecordSummary> run(Result<UniqueFd> agent) {
    GB_TRY(begin());
    if (options_.target.vsock_path.empty())
      summary_.note = "host side only: " + options_.target.description + " runs no guest of glassbox";
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
  // Returns once the agent is ready, or has been given up. An agent is busy for a while after an earlier
  // recorder was killed, so it is tried again.
  Status wait_for_guest() {
    const auto end = Clock::now() + kReadyLimit;
    for (;;) {
      GB_TRY(wait_until(end, [this] { return !guest_ || guest_->ready() || stopping_; }));
      if (!agent_busy_ || guest_ || stopping_ || Clock::now() >= end) break;
      GB_TRY(wait_until(Clock::now() + kBusyRetry, [this] { return stopping_; }));
      agent_busy_ = false;
      summary_.note.clear();
      start_guest(AgentStream::connect(options_.target.vsock_path, kRetryPatienceS, signals_.fd()));
    }
    if (guest_ && !guest_->ready()) lose_guest("its agent was not ready in time");
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
      GB_TRY(writer_.add_note("the cost of a probe could not be measured: " + cost.error().message));
    return {};
  }

  void start_guest(Result<UniqueFd> agent) {
    if (!agent) return lose_guest(agent.error().message);
    auto stream = AgentStream::start(std::move(*agent));
    if (stream)
      guest_.emplace(std::move(*stream));
    else
      lose_guest(stream.error().message);
  }

  // Continues with the host side only.
  void lose_guest(const std::string& why) {
    summary_.note =
        (summary_.guest_events == 0 ? "host side only: " : "the guest's side is cut short: ") + why;
    guest_.reset();
  }

  // The poll loop: takes in whatever arrives until done() or `end`.
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
    // A second signal, during the wait for the guest's last events, ends that wait. The host's side is kept.
    if (finishing_) cut_short_ = true;
    stopping_ = true;
  }

  // Remembers the first write error, which ends the recording.
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
  std::optional<AgentStream> guest_;
  RecordSummary summary_;
  bool stopping_ = false, finishing_ = false, cut_short_ = false, ended_early_ = false, agent_busy_ = false;
  std::optional<Error> write_error_;
  Clock::time_point flushed_ = Clock::now();
};

}  // namespace

Result<RecordSummary> record(const RecordOptions& options) {
  GB_ASSIGN(const UniqueFd claim, claim_recording(options.target));
  GB_ASSIGN(StopSignals signals, StopSignals::take_over());
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, options.target.pid, 0)));
  if (!process && errno == ESRCH)
    return fail("there is no process {}: `glassbox ls` lists the running VMs", options.target.pid);
  if (!process) return fail_errno(errno, "cannot watch process {}", options.target.pid);
  // A guest may answer late or never, and during that wait the host's ring buffer would not be read: so
  // connect before the host's probes are attached. A signal ends the wait.
  Result<UniqueFd> agent;
  if (const auto& path = options.target.vsock_path; !path.empty())
    agent = AgentStream::connect(path, kFirstPatienceS, signals.fd());
  GB_ASSIGN(auto host, bpf::HostTracer::open(options.target.pid, {.ring_bytes = options.ring_bytes}));
  GB_ASSIGN(TraceWriter writer, TraceWriter::create(options.output, trace_info(options.target.pid)));
  RecordLoop loop(options, std::move(host), std::move(writer), std::move(signals), std::move(process));
  return loop.run(std::move(agent));
}

}  // namespace glassbox::trace
