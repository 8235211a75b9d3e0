// One connection of the exec port: one command, from kExecStart to kExited.
//
// Theory of operation. All descriptors are non-blocking; the server's poll loop drives them.
// - Output is read from the command only while less than kOutputLimit bytes wait to be sent. A slow host
//   therefore slows the command, as a pipe would.
// - Input is buffered up to kStdinWindow bytes, a limit that the host must keep. Signals can therefore
//   overtake input that the command does not read.
// - When the command has ended, its pipes may still hold output. The session reads them until they are empty
//   and sends that before kExited. It does not wait for their end of file, because a background process may
//   keep the pipes open for hours.
// - When the host goes away or breaks the protocol, the command gets SIGHUP, as if its terminal had been
//   closed.
//
// Thread: the server's. The session owns the connection and the command's descriptors.
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

  // Sends what can be sent now and appends the descriptors to poll. The caller passes the same entries, with
  // revents filled in, to handle().
  void collect(std::vector<pollfd>& fds);
  void handle(const pollfd& event);
  // Takes the exit status of the command if it has ended. handle() calls it, and so does the reaper of PID 1.
  void reap();

  // True once the host has its last message or is gone, and the command has been reaped.
  [[nodiscard]] bool finished() const { return !connection_ && (!started_ || status_known_); }
  [[nodiscard]] bool wants_power_off() const { return power_off_; }
  // The command's pid while it must still be reaped, otherwise -1.
  [[nodiscard]] pid_t pid() const { return started_ && !status_known_ ? command_.pid : -1; }

 private:
  static constexpr std::size_t kOutputLimit = 256 * 1024;

  void receive();
  void handle_message(const protocol::Message& message);
  void start(std::string_view json);
  void collect_strings(std::string& to, std::string_view bytes);
  // Queues kExecFailed, the last message.
  void refuse(int errnum, std::string_view why);
  void buffer_input(std::string_view bytes);
  void write_input();
  void read_output(UniqueFd& fd, protocol::MessageType type);
  void send_output();
  void signal(int number) const;
  void resize(std::string_view payload) const;
  // Queues kExited once the command has ended and its pipes are empty; closes after the last message.
  void finish_if_ended();
  // Ends the session without kExited and hangs the command up: the host is gone or broke the protocol.
  void abandon();

  UniqueFd connection_;
  protocol::MessageDecoder decoder_;
  CommandStrings strings_;
  Command command_;
  bool started_ = false;
  bool tty_ = false;
  bool power_off_ = false;
  bool status_known_ = false;
  bool last_message_queued_ = false;
  int status_ = 0;
  bool input_ended_ = false;
  std::string input_;   // bytes that the command has not taken yet
  std::string output_;  // whole messages that the host has not taken yet
};

}  // namespace glassbox::agent
