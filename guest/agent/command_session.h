// One connection of the exec port: one command, from kExecStart to kExited.
//
// Theory of operation. Everything is non-blocking and driven by the server's poll loop. Output is read from
// the command only while less than kOutputLimit bytes wait to be sent, so a slow host slows the command, as a
// pipe would. Input is buffered up to kStdinWindow, which the host keeps to, so that signals overtake input
// the command does not read. When the command ends, what it wrote before is still in its pipes: that is read
// until there is no more and sent before kExited; a background process that keeps the pipes open does not
// hold the session. When the host goes away the command gets SIGHUP, as from a terminal that was closed.
//
// Thread: the server's.
#pragma once

#include <poll.h>

#include <string>
#include <vector>

#include "guest/agent/spawn.h"
#include "guest/framing.h"

namespace glassbox::agent {

class CommandSession {
 public:
  explicit CommandSession(UniqueFd connection) : connection_(std::move(connection)) {}

  // Appends what to poll for. The same entries come back, with revents, in handle().
  void collect(std::vector<pollfd>& fds);
  void handle(const pollfd& event);
  // The command has ended: takes its status. Called from handle(), or by the reaper of PID 1.
  void reap();

  // Nothing is left to do: the host is served or gone, and the command has been reaped.
  [[nodiscard]] bool finished() const { return !connection_ && (!started_ || status_known_); }
  [[nodiscard]] bool wants_power_off() const { return power_off_; }
  // Of the command while it is to be reaped, otherwise -1.
  [[nodiscard]] pid_t pid() const { return started_ && !status_known_ ? command_.pid : -1; }

 private:
  static constexpr std::size_t kOutputLimit = 256 * 1024;

  void receive();
  void take(const protocol::Message& message);
  void start(std::string_view json);
  void take_input(std::string_view bytes);
  void write_input();
  void read_output(UniqueFd& fd, protocol::MessageType type);
  void send_output();
  void signal(int number) const;
  void resize(std::string_view payload) const;
  // Sends kExited once the command has ended and its pipes are empty.
  void advance();
  void drop();  // the host is gone, or does not keep to the protocol

  UniqueFd connection_;
  protocol::MessageDecoder decoder_;
  Command command_;
  bool started_ = false;
  bool tty_ = false;
  bool power_off_ = false;
  bool status_known_ = false;
  bool last_message_queued_ = false;
  int status_ = 0;
  bool input_ended_ = false;
  std::string input_;   // for the command
  std::string output_;  // messages for the host
};

}  // namespace glassbox::agent
