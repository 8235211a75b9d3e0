#include "guest/agent/trace_session.h"

#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <span>

#include "guest/agent/event_buffer.h"
#include "guest/framing.h"

namespace glassbox::agent {
namespace {

using protocol::MessageType;

constexpr int kBurst = 64;         // exchanges on each vCPU
constexpr int kBurstReadings = 8;  // clock readings among them, each after an exchange
constexpr unsigned kTicksPerReading = 16;
constexpr timespec kBurstSpacing{0, 200'000};
constexpr std::size_t kMaxBufferBytes = 32U << 20;
constexpr std::size_t kMinBufferBytes = 2U << 20;

// An eighth of the memory, within limits. The upper limit holds the events of about 8,000 cycles.
std::size_t default_buffer_events() {
  struct sysinfo info {};
  ::sysinfo(&info);
  const std::size_t eighth = info.totalram / 8 * info.mem_unit;
  return std::clamp(eighth, kMinBufferBytes, kMaxBufferBytes) / sizeof(gb_event);
}

void pin_to(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  // Fails if the CPU is offline. The exchange then happens on another CPU, and its bound holds there as well.
  ::sched_setaffinity(0, sizeof(set), &set);
}

class TraceSession {
 public:
  TraceSession(int fd, EventSource& source, EventBuffer buffer, std::optional<ClockDevice> clock)
      : fd_(fd),
        source_(source),
        buffer_(std::move(buffer)),
        clock_(std::move(clock)),
        vcpus_(static_cast<unsigned>(std::max(1, ::get_nprocs()))),
        clock_seq_(vcpus_, 0) {}

  Status run(std::uint32_t interval_us) {
    burst();
    GB_ASSIGN(const bool stopped, collect_until_stop(interval_us));
    if (!stopped) return {};  // the collector is gone: there is no one to send to
    burst();
    source_.stop();
    consume();
    GB_TRY(send_events());
    GB_TRY(send_drops());
    return protocol::send_message(fd_, MessageType::kTraceEnd, {});
  }

 private:
  // True after kTraceStop, false if the connection ended.
  Result<bool> collect_until_stop(std::uint32_t interval_us) {
    const timespec interval{interval_us / 1'000'000, (interval_us % 1'000'000) * 1000L};
    for (unsigned turn = 0;; ++turn) {
      pollfd event{fd_, POLLIN, 0};
      const int ready = ::ppoll(&event, 1, &interval, nullptr);
      exchange(turn % vcpus_);
      if (turn / vcpus_ % kTicksPerReading == 0) reading(turn % vcpus_);
      consume();
      if (buffer_.half_full()) GB_TRY(send_events());
      if (ready <= 0) continue;
      const auto message = protocol::receive_message(fd_);
      if (!message) return false;
      if (message->type == MessageType::kTraceStop) return true;
      return fail("expected kTraceStop, got a message of type {}", static_cast<unsigned>(message->type));
    }
  }

  void burst() {
    for (unsigned cpu = 0; clock_ && cpu < vcpus_; ++cpu) {
      for (int i = 0; i < kBurst; ++i) {
        exchange(cpu);
        if (i % (kBurst / kBurstReadings) == 0) reading(cpu);
        ::nanosleep(&kBurstSpacing, nullptr);
      }
    }
  }

  void exchange(unsigned cpu) {
    if (!clock_) return;
    pin_to(cpu);
    const ClockExchange got = clock_->exchange();
    push(GB_KIND_guest_clock, cpu, got.before_ns, {got.exchange, got.before_ns, got.after_ns, cpu});
  }

  // On the CPU of the exchange before it: the thread is still pinned there.
  void reading(unsigned cpu) {
    if (!clock_) return;
    const ClockReading got = clock_->reading();
    if (got.number == 0) return;
    push(GB_KIND_guest_clock_reading, cpu, got.before_ns,
         {got.number, got.before_ns, got.after_ns, cpu, got.tsc_before, got.tsc_after});
  }

  void push(std::uint16_t kind, unsigned cpu, std::uint64_t ts_ns,
            std::initializer_list<std::uint64_t> arguments) {
    gb_event event{};
    event.ts_ns = ts_ns;
    event.seq = clock_seq_[cpu]++;
    event.kind = kind;
    event.cpu = static_cast<std::uint16_t>(kClockCpuBit | cpu);
    event.tgid = static_cast<std::uint32_t>(::getpid());
    event.tid = static_cast<std::uint32_t>(::gettid());
    event.version = GB_EVENT_VERSION;
    std::copy(arguments.begin(), arguments.end(), event.arg);
    buffer_.push(event);
  }

  void consume() {
    source_.consume([this](const gb_event& event) { buffer_.push(event); });
  }

  Status send_events() {
    constexpr std::size_t kPerMessage = protocol::kMaxPayload / sizeof(gb_event);
    for (auto rest = buffer_.events(); !rest.empty();) {
      const auto part = rest.first(std::min(rest.size(), kPerMessage));
      GB_TRY(protocol::send_message(fd_, MessageType::kTraceEvents,
                                    {reinterpret_cast<const char*>(part.data()), part.size_bytes()}));
      rest = rest.subspan(part.size());
    }
    buffer_.clear();
    return {};
  }

  Status send_drops() {
    bpf::GuestDrops drops = source_.drops();
    for (std::size_t kind = 0; kind < buffer_.refused().size(); ++kind) {
      const std::uint64_t count = buffer_.refused().at(kind);
      if (count == 0) continue;
      drops.totals.buffer_full += count;
      drops.shares.push_back({"buffer_full", std::to_string(kind), count});
    }
    std::string text;
    for (const bpf::DropShare& share : drops.shares)
      text += fmt::format("{} {} {}\n", share.counter, share.what, share.count);
    if (!text.empty()) GB_TRY(protocol::send_message(fd_, MessageType::kTraceShares, text));
    return protocol::send_message(fd_, MessageType::kTraceDrops, protocol::as_payload(drops.totals));
  }

  const int fd_;
  EventSource& source_;
  EventBuffer buffer_;
  const std::optional<ClockDevice> clock_;
  const unsigned vcpus_;
  std::vector<std::uint64_t> clock_seq_;
};

Status serve(int fd, const TraceEnvironment& environment) {
  GB_ASSIGN(const protocol::Message message, protocol::receive_message(fd));
  const auto start = protocol::from_payload<protocol::TraceStart>(message.payload);
  if (message.type != MessageType::kTraceStart || !start)
    return fail("a trace session must begin with kTraceStart, not with a message of type {}",
                static_cast<unsigned>(message.type));
  if (start->version != protocol::kVersion) {
    return fail("the collector speaks version {} of the protocol, the agent {}: rebuild the guest image",
                start->version, protocol::kVersion);
  }
  const std::size_t capacity =
      environment.buffer_events != 0 ? environment.buffer_events : default_buffer_events();
  GB_ASSIGN(EventBuffer buffer, EventBuffer::create(capacity));

  auto clock = environment.open_clock();
  const auto source = environment.make_source();
  GB_ASSIGN(const std::vector<std::string> hooks, source->open());
  std::string text =
      clock ? "clock_exchange mmio\n" : "clock_exchange missing " + clock.error().message + "\n";
  for (const std::string& hook : hooks)
    text += hook + "\n";
  GB_TRY(protocol::send_message(fd, MessageType::kTraceReady, text));

  TraceSession session(fd, *source, std::move(buffer),
                       clock ? std::optional<ClockDevice>(std::move(*clock)) : std::nullopt);
  return session.run(std::max(start->clock_interval_us, 100U));
}

}  // namespace

void run_trace_session(int connection, const TraceEnvironment& environment) {
  const Status status = serve(connection, environment);
  if (!status) {
    // Sending fails if the collector is gone, which may be why the session failed.
    (void)protocol::send_message(connection, MessageType::kTraceError, status.error().message);
  }
}

void TraceSessions::start(UniqueFd connection) {
  if (busy_.exchange(true)) {
    (void)protocol::send_message(connection.get(), MessageType::kTraceError, protocol::kTraceBusy);
    return;
  }
  if (thread_.joinable()) thread_.join();
  thread_ = std::thread([this, fd = std::move(connection)]() mutable {
    run_trace_session(fd.get(), environment_);
    busy_.store(
        false);  // before the close: a collector that sees the connection end may open the next at once
    fd.reset();
  });
}

}  // namespace glassbox::agent
