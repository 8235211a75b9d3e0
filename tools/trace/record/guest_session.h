// The collector's end of a trace session with the agent in the guest (guest/protocol.h, trace port).
//
// The peer is a guest, hostile until shown otherwise: message sizes are bounded by the decoder, records are
// passed on unread (the trace reader checks them), their number is bounded, text is kept short.
//
// Non-blocking: poll fd() for input and call read() then. Thread: one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "bpf/events.h"
#include "guest/framing.h"
#include "tools/trace/file/trace.h"
#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::trace {

class GuestSession {
 public:
  // Blocks until the agent answers, patience_s are over or cancel_fd turns readable.
  [[nodiscard]] static Result<UniqueFd> connect(const std::filesystem::path& vsock_path, int patience_s = 30,
                                                int cancel_fd = -1);
  // Asks the agent to start. Loading takes the guest up to a second or more: ready() tells when.
  [[nodiscard]] static Result<GuestSession> start_over(UniqueFd connection);

  using Consumer = std::function<Status(const gb_event&)>;
  // Takes in what is there. An error ends the session: the agent went away, gave up, or broke the protocol.
  [[nodiscard]] Status read(const Consumer& consumer);
  // Asks for the rest; ended() once it is all there.
  [[nodiscard]] Status stop();

  // For poll(2). -1 once the session has ended: what the guest sends after its end is never read.
  [[nodiscard]] int fd() const { return ended_ ? -1 : fd_.get(); }
  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] bool ended() const { return ended_; }
  // read() has failed because the agent serves another collector.
  [[nodiscard]] bool busy() const { return busy_; }
  [[nodiscard]] const std::vector<std::string>& hooks() const { return hooks_; }
  [[nodiscard]] const DropCounters& drops() const { return drops_; }

 private:
  explicit GuestSession(UniqueFd fd) : fd_(std::move(fd)) {}
  [[nodiscard]] Status take(const protocol::Message& message, const Consumer& consumer);
  [[nodiscard]] Status take_events(const std::string& payload, const Consumer& consumer);

  UniqueFd fd_;
  protocol::MessageDecoder decoder_;
  bool ready_ = false, stop_asked_ = false, ended_ = false, busy_ = false;
  std::uint64_t events_ = 0;
  std::vector<std::string> hooks_;
  DropCounters shares_;  // of what drops_ will have
  DropCounters drops_;
};

}  // namespace glassbox::trace
