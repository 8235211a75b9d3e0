#include "tools/trace/guest_session.h"

#include <fcntl.h>

#include <array>
#include <cstring>

#include "tools/trace/report.h"
#include "vmm/base/runtime_dir.h"

namespace glassbox::trace {
namespace {

using protocol::MessageType;

// 4 GiB of records. A guest that has more to say is not measuring TCP cycles.
constexpr std::uint64_t kMaxGuestEvents = std::uint64_t{1} << 25;
constexpr std::size_t kMaxHooks = 256;
constexpr std::size_t kMaxHookText = 200;

std::vector<std::string> split_hooks(std::string_view text) {
  std::vector<std::string> hooks;
  while (!text.empty() && hooks.size() < kMaxHooks) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) hooks.push_back(printable(text.substr(0, std::min(end, kMaxHookText))));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return hooks;
}

}  // namespace

Result<GuestSession> GuestSession::start(const std::filesystem::path& vsock_path) {
  GB_ASSIGN(UniqueFd fd, connect_vsock(vsock_path, protocol::kTracePort));
  return start_over(std::move(fd));
}

Result<GuestSession> GuestSession::start_over(UniqueFd fd) {
  GB_TRY(protocol::send_message(fd.get(), MessageType::kTraceStart,
                                protocol::as_payload(protocol::TraceStart{})));
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, "cannot poll the guest's agent");
  return GuestSession(std::move(fd));
}

Status GuestSession::stop() {
  return protocol::send_message(fd_.get(), MessageType::kTraceStop, {});
}

Status GuestSession::read(const Consumer& consumer) {
  std::array<char, 64 * 1024> buffer;
  const ssize_t count = ::read(fd_.get(), buffer.data(), buffer.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (count < 0) return fail_errno(errno, "cannot read from the guest's agent");
  if (count == 0) return ended_ ? Status{} : Status(fail("the guest's agent went away"));
  decoder_.feed({buffer.data(), static_cast<std::size_t>(count)});
  while (!ended_) {
    GB_ASSIGN(const auto message, decoder_.next());
    if (!message) break;
    GB_TRY(take(*message, consumer));
  }
  return {};
}

Status GuestSession::take(const protocol::Message& message, const Consumer& consumer) {
  switch (message.type) {
    case MessageType::kTraceReady:
      if (ready_) break;
      ready_ = true;
      hooks_ = split_hooks(message.payload);
      return {};
    case MessageType::kTraceEvents:
      return take_events(message.payload, consumer);
    case MessageType::kTraceDrops: {
      const auto drops = protocol::from_payload<protocol::TraceDrops>(message.payload);
      if (!drops) break;
      drops_ = {{"ring_full", drops->ring_full},
                {"buffer_full", drops->buffer_full},
                {"recursion_misses", drops->recursion_misses},
                {"kprobe_misses", drops->kprobe_misses},
                {"own_events", drops->own_events}};
      return {};
    }
    case MessageType::kTraceEnd:
      ended_ = true;
      return {};
    case MessageType::kTraceError:
      busy_ = message.payload == protocol::kTraceBusy;
      return fail("the guest's agent cannot trace: {}",
                  printable(std::string_view(message.payload).substr(0, kMaxHookText)));
    default:
      break;
  }
  return fail("the guest's agent sent a message that may not be there (type {}, {} bytes)",
              static_cast<std::uint32_t>(message.type), message.payload.size());
}

Status GuestSession::take_events(const std::string& payload, const Consumer& consumer) {
  if (payload.empty() || payload.size() % sizeof(gb_event) != 0)
    return fail("the guest's agent sent records of a wrong size");
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
