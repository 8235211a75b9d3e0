// What a guest's agent may send, as a function of bytes. An input is the stream of the trace connection, in
// the framing of guest/protocol.h. The trace also has a complete host side, so that the guest's records find
// flows to join. Whatever the guest sends, the host's own totals must not change.
#include <sys/socket.h>

#include <optional>

#include "tests/fuzz/trace_report.h"
#include "tests/unit/tools/trace/synthetic.h"
#include "tools/trace/file/records.h"
#include "tools/trace/record/agent_stream.h"

namespace glassbox::trace {
namespace {

// Feeds the stream in pieces that fit into a socket and reads what comes out.
void take_stream(std::span<const std::uint8_t> stream, Trace& trace) {
  int pair[2];
  fuzz::insist(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "no socket pair");
  const UniqueFd guest(pair[1]);
  auto session = AgentStream::start(UniqueFd(pair[0]));
  fuzz::insist(session.has_value(), "no session");
  std::vector<gb_event> events;
  const auto consumer = [&events](const gb_event& event) {
    events.push_back(event);
    return Status{};
  };
  fuzz::insist(session->stop().has_value(), "stop");  // so that the guest may say that it has ended
  Status status;
  while (status && !stream.empty() && !session->ended()) {
    const std::size_t piece = std::min<std::size_t>(stream.size(), 16384);
    fuzz::insist(::send(guest.get(), stream.data(), piece, MSG_NOSIGNAL) == static_cast<ssize_t>(piece),
                 "send");
    stream = stream.subspan(piece);
    status = session->read(consumer);
  }
  trace.guest.hooks.clear();
  for (const std::string& hook : session->hooks()) {
    fuzz::insist_printable(hook);
    trace.guest.hooks.push_back(bpf::parse_hook(hook));
  }
  take_records(events, Origin::kGuest, trace.guest);
  trace.guest.drops = session->drops();
  check_sequences(trace.guest);
}

}  // namespace
}  // namespace glassbox::trace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glassbox::trace;
  static const Trace whole = glassbox::trace::testing::make_trace(2);
  Trace trace = whole;
  trace.guest = {};
  take_stream({data, size}, trace);
  const Report report = make_report(trace);
  glassbox::fuzz::insist(report.drops_host == 0, "the guest has a say in what the host lost");
  glassbox::fuzz::insist(trace.guest.events.size() * sizeof(gb_event) <= size, "more events than were sent");
  glassbox::fuzz::check_report(trace);
  return 0;
}
