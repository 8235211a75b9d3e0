// The stream of events from the guest: the collector's end of the connection to the agent (guest/protocol.h,
// trace port).
//
// The guest is hostile. The decoder bounds the size of a message; the number of records and the length of
// texts are bounded here; records are passed on unread, since the trace reader checks them. Any message that
// the protocol does not allow at that point ends the stream with an error.
//
//   connect()  ->  start()  ->  read() until ready()  ->  read() ...  ->  stop()  ->  read() until ended()
//
// read() does not block: poll fd() for input first. Not thread-safe. Owns the connection: destroying the
// stream ends the agent's session.
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

class AgentStream {
 public:
  // Connects to the agent behind the VM's vsock socket. Blocks until it answers, for at most patience_s
  // seconds, or until cancel_fd becomes readable (-1: never); the latter two are errors.
  [[nodiscard]] static Result<UniqueFd> connect(const std::filesystem::path& vsock_path, int patience_s = 30,
                                                int cancel_fd = -1);
  // Asks the agent to start tracing. It needs a second or more to load its programs; ready() then turns true.
  [[nodiscard]] static Result<AgentStream> start(UniqueFd connection);

  using Consumer = std::function<Status(const gb_event&)>;
  // Reads what has arrived and hands each event to `consumer`, whose error it returns. Any other error means
  // that the agent hung up, gave up or broke the protocol: do not use the stream after it.
  [[nodiscard]] Status read(const Consumer& consumer);
  // Asks the agent to stop and to send what it has buffered. ended() turns true once all of that has been
  // read.
  [[nodiscard]] Status stop();

  // For poll(2). -1 once the stream has ended: what the guest sends after its end is never read.
  [[nodiscard]] int fd() const { return ended_ ? -1 : fd_.get(); }
  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] bool ended() const { return ended_; }
  // True after read() failed because the agent serves another collector.
  [[nodiscard]] bool busy() const { return busy_; }
  // What the agent attached, once ready(); printable.
  [[nodiscard]] const std::vector<std::string>& hooks() const { return hooks_; }
  // What the guest lost, once ended().
  [[nodiscard]] const DropCounters& drops() const { return drops_; }

 private:
  explicit AgentStream(UniqueFd fd) : fd_(std::move(fd)) {}
  [[nodiscard]] Status take(const protocol::Message& message, const Consumer& consumer);
  [[nodiscard]] Status take_events(const std::string& payload, const Consumer& consumer);

  UniqueFd fd_;
  protocol::MessageDecoder decoder_;
  bool ready_ = false, stop_asked_ = false, ended_ = false, busy_ = false;
  std::uint64_t events_ = 0;
  std::vector<std::string> hooks_;
  DropCounters shares_;  // parts of the counters in drops_, by event or hook; they arrive first
  DropCounters drops_;
};

}  // namespace glassbox::trace
