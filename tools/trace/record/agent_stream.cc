#include "tools/trace/record/agent_stream.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "tools/trace/file/kinds.h"
#include "tools/trace/text/text.h"
#include "vmm/base/runtime_dir.h"

namespace glassbox::trace {
namespace {

using protocol::MessageType;

// 4 GiB of records: far more than any measurement of TCP cycles sends.
constexpr std::uint64_t kMaxGuestEvents = std::uint64_t{1} << 25;
constexpr std::size_t kMaxHooks = 256;
constexpr std::size_t kMaxHookText = 200;
constexpr std::size_t kMaxShares = 512;

std::vector<std::string> split_hooks(std::string_view text) {
  std::vector<std::string> hooks;
  while (!text.empty() && hooks.size() < kMaxHooks) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) hooks.push_back(printable(text.substr(0, std::min(end, kMaxHookText))));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return hooks;
}

// "<counter>:<event or hook>". `what` is the number of a guest event or the name of a hook; empty for
// anything else, so that a guest cannot choose the names of our counters freely.
std::optional<std::string> share_name(std::string_view counter, std::string_view what) {
  constexpr std::array<std::string_view, 4> kCounters = {"ring_full", "buffer_full", "recursion_misses",
                                                         "kprobe_misses"};
  if (std::find(kCounters.begin(), kCounters.end(), counter) == kCounters.end()) return {};
  std::uint16_t kind = 0;
  if (const auto [end, error] = std::from_chars(what.data(), what.data() + what.size(), kind);
      error == std::errc() && end == what.data() + what.size()) {
    if (!is_guest_kind(kind) || kind_name(kind) == "?") return {};
    what = kind_name(kind);
  } else if (what.empty() || what.size() > kMaxHookText ||
             what.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_/") != std::string_view::npos) {
    return {};
  }
  return fmt::format("{}:{}", counter, what);
}

// Parses lines of "<counter> <kind or hook> <count>"; empty if any line is malformed.
std::optional<DropCounters> parse_shares(std::string_view text) {
  DropCounters shares;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos || shares.size() == kMaxShares) return {};
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    const std::size_t first = std::min(line.find(' '), line.size());
    const std::size_t last = line.rfind(' ');
    if (last == std::string_view::npos || last <= first) return {};
    const auto name = share_name(line.substr(0, first), line.substr(first + 1, last - first - 1));
    std::uint64_t count = 0;
    const std::string_view digits = line.substr(last + 1);
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
    if (!name || error != std::errc() || stop != digits.data() + digits.size()) return {};
    shares[*name] = count;
  }
  return shares;
}

}  // namespace

Result<UniqueFd> AgentStream::connect(const std::filesystem::path& vsock_path, int patience_s,
                                      int cancel_fd) {
  return connect_vsock(vsock_path, protocol::kTracePort, patience_s, cancel_fd);
}

Result<AgentStream> AgentStream::start(UniqueFd fd) {
  const Status asked = protocol::send_message(fd.get(), MessageType::kTraceStart,
                                              protocol::as_payload(protocol::TraceStart{}));
  // An agent that serves another collector sends an error and hangs up before it reads anything. read()
  // returns that error.
  if (!asked && asked.error().code != EPIPE && asked.error().code != ECONNRESET)
    return tl::unexpected<Error>(asked.error());
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0)
    return fail_errno(errno, "cannot make the connection to the guest's agent non-blocking");
  return AgentStream(std::move(fd));
}

Status AgentStream::stop() {
  stop_asked_ = true;
  return protocol::send_message(fd_.get(), MessageType::kTraceStop, {});
}

Status AgentStream::read(const Consumer& consumer) {
  if (ended_) return {};
  std::array<char, 64 * 1024> buffer;
  const ssize_t count = ::read(fd_.get(), buffer.data(), buffer.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (count < 0) return fail_errno(errno, "cannot read from the guest's agent");
  if (count == 0) return fail("the guest's agent hung up");
  decoder_.feed({buffer.data(), static_cast<std::size_t>(count)});
  while (!ended_) {
    GB_ASSIGN(const auto message, decoder_.next());
    if (!message) break;
    GB_TRY(take(*message, consumer));
  }
  return {};
}

Status AgentStream::take(const protocol::Message& message, const Consumer& consumer) {
  switch (message.type) {
    case MessageType::kTraceReady:
      if (ready_) break;
      ready_ = true;
      hooks_ = split_hooks(message.payload);
      return {};
    case MessageType::kTraceEvents:
      return take_events(message.payload, consumer);
    case MessageType::kTraceShares: {
      auto shares = parse_shares(message.payload);
      if (!shares) break;
      shares_ = std::move(*shares);
      return {};
    }
    case MessageType::kTraceDrops: {
      const auto drops = protocol::from_payload<protocol::TraceDrops>(message.payload);
      if (!drops) break;
      drops_ = {{"ring_full", drops->ring_full},
                {"buffer_full", drops->buffer_full},
                {"recursion_misses", drops->recursion_misses},
                {"kprobe_misses", drops->kprobe_misses},
                {"own_events", drops->own_events}};
      drops_.insert(shares_.begin(), shares_.end());
      return {};
    }
    case MessageType::kTraceEnd:
      if (!stop_asked_) return fail("the guest's agent ended the session without being asked");
      ended_ = true;
      return {};
    case MessageType::kTraceError:
      busy_ = message.payload == protocol::kTraceBusy;
      return fail("the guest's agent cannot trace: {}",
                  printable(std::string_view(message.payload).substr(0, kMaxHookText)));
    default:
      break;
  }
  return fail("the guest's agent sent an unexpected message (type {}, {} bytes)",
              static_cast<std::uint32_t>(message.type), message.payload.size());
}

Status AgentStream::take_events(const std::string& payload, const Consumer& consumer) {
  if (payload.empty() || payload.size() % sizeof(gb_event) != 0)
    return fail("the guest's agent sent {} bytes of events; expected a positive multiple of {}",
                payload.size(), sizeof(gb_event));
  const std::size_t count = payload.size() / sizeof(gb_event);
  events_ += count;
  if (events_ > kMaxGuestEvents) return fail("the guest sent more than {} events", kMaxGuestEvents);
  for (std::size_t k = 0; k < count; ++k) {
    gb_event event;
    std::memcpy(&event, payload.data() + k * sizeof(event), sizeof(event));
    GB_TRY(consumer(event));
  }
  return {};
}

}  // namespace glassbox::trace
