#include "vmm/client/session.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "guest/framing.h"
#include "vmm/base/clock.h"
#include "vmm/base/printable.h"
#include "vmm/client/terminal.h"

namespace glassbox::client {
namespace {

using protocol::MessageType;

// Bytes for one of the user's descriptors.
struct Sink {
  int fd;
  std::string pending;
  bool broken = false;  // what comes for it is dropped
};

// The strings, each ended by a zero byte.
std::string joined(const std::vector<std::string>& strings) {
  std::string all;
  for (const std::string& text : strings)
    all.append(text.c_str(), text.size() + 1);
  return all;
}

class CommandRelay {
 public:
  CommandRelay(UniqueFd connection, const CommandSpec& command, const Streams& streams,
               const SignalWatch& signals)
      : connection_(std::move(connection)),
        signals_(signals),
        tty_(command.tty),
        patience_ns_(static_cast<std::uint64_t>(command.patience_ms) * kNsPerMs),
        in_(streams.in),
        out_{streams.out, {}},
        err_{streams.err, {}} {
    protocol::append_stream(to_guest_, MessageType::kExecArguments, joined(command.argv));
    protocol::append_stream(to_guest_, MessageType::kExecEnvironment, joined(command.env));
    nlohmann::json start = {{"cwd", command.cwd}, {"tty", command.tty}};
    if (const auto size = window_size(in_)) {
      start["rows"] = size->rows;
      start["cols"] = size->cols;
    }
    protocol::append_message(to_guest_, MessageType::kExecStart,
                             start.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }

  CommandEnd run() {
    while (!outcome_ || !out_.pending.empty() || !err_.pending.empty()) {
      std::array<pollfd, 5> fds{{{connection_.get(), 0, 0},
                                 {signals_.fd(), POLLIN, 0},
                                 {wants_input() ? in_ : -1, POLLIN, 0},
                                 {out_.pending.empty() ? -1 : out_.fd, POLLOUT, 0},
                                 {err_.pending.empty() ? -1 : err_.fd, POLLOUT, 0}}};
      if (outcome_) fds[0].fd = -1;
      if (out_.pending.empty() && err_.pending.empty()) fds[0].events |= POLLIN;
      if (!to_guest_.empty()) fds[0].events |= POLLOUT;
      if (::poll(fds.data(), fds.size(), poll_ms()) < 0) {
        if (errno == EINTR) continue;
        return {CommandEnd::Kind::kLost, 0, fmt::format("poll: {}", std::strerror(errno))};
      }
      if (fds[1].revents != 0) take_signals();
      if (leave_at_ && monotonic_ns() >= *leave_at_) give_up();
      if (interrupted_) return *outcome_;
      if (fds[2].revents != 0) read_input();
      for (const int i : {3, 4}) {
        if (fds[i].revents != 0 && !write_output(i == 3 ? out_ : err_)) {
          return {CommandEnd::Kind::kInterrupted,
                  128 + SIGPIPE,
                  {}};  // as the command would have ended outside a guest
        }
      }
      if ((fds[0].revents & POLLOUT) != 0) send();
      if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive();
    }
    if (outcome_->kind == CommandEnd::Kind::kExited) outcome_->message = output_error_;
    return *outcome_;
  }

 private:
  // Until the command is left; -1 while no signal has been passed on.
  [[nodiscard]] int poll_ms() const {
    if (!leave_at_) return -1;
    const std::uint64_t now = monotonic_ns();
    return now >= *leave_at_ ? 0 : static_cast<int>((*leave_at_ - now) / kNsPerMs + 1);
  }

  void give_up() {
    std::string why;
    if (!outcome_ && passed_on_ != 0)
      why = fmt::format("signal {} was passed on, but the command has not ended: it is left", passed_on_);
    outcome_ = CommandEnd{CommandEnd::Kind::kInterrupted, 128 + last_signal_, std::move(why)};
    interrupted_ = true;
  }

  [[nodiscard]] bool wants_input() const {
    return !input_ended_ && !outcome_ && unacknowledged_ < protocol::kStdinWindow;
  }

  void lost(std::string message) {
    if (!outcome_) outcome_ = CommandEnd{CommandEnd::Kind::kLost, 0, std::move(message)};
  }

  void take_signals() {
    while (const auto signal = signals_.take()) {
      if (*signal == SIGWINCH) {
        resize();
        continue;
      }
      last_signal_ = *signal;
      if (tty_ || ++signals_seen_ >= kGiveUpAfter || outcome_) return give_up();
      if (!leave_at_) leave_at_ = monotonic_ns() + patience_ns_;
      passed_on_ = *signal;
      const auto number = static_cast<std::uint32_t>(*signal);
      protocol::append_message(to_guest_, MessageType::kSignal, protocol::as_payload(number));
    }
  }

  void resize() {
    const auto size = window_size(in_);
    if (!tty_ || !size) return;
    const std::array<std::uint16_t, 2> payload{size->rows, size->cols};
    protocol::append_message(to_guest_, MessageType::kResize, protocol::as_payload(payload));
  }

  void read_input() {
    std::array<char, protocol::kMaxPayload> bytes;
    const std::size_t room = std::min<std::size_t>(bytes.size(), protocol::kStdinWindow - unacknowledged_);
    const ssize_t got = ::read(in_, bytes.data(), room);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    const std::size_t length =
        got > 0 ? static_cast<std::size_t>(got) : 0;  // a read error is the end of the input
    if (length == 0) input_ended_ = true;
    unacknowledged_ += length;
    protocol::append_message(to_guest_, MessageType::kStdin, {bytes.data(), length});
  }

  // False if no process reads the descriptor any more.
  bool write_output(Sink& sink) {
    // A pipe that is ready takes PIPE_BUF bytes without blocking.
    const ssize_t n =
        ::write(sink.fd, sink.pending.data(), std::min<std::size_t>(sink.pending.size(), PIPE_BUF));
    if (n >= 0) {
      sink.pending.erase(0, static_cast<std::size_t>(n));
    } else if (errno == EPIPE) {
      return false;
    } else if (errno != EINTR && errno != EAGAIN) {
      // Closed, or a full disk: the command goes on, and its status is still worth having.
      if (output_error_.empty())
        output_error_ = fmt::format("cannot write the command's output: {}", std::strerror(errno));
      sink.broken = true;
      sink.pending.clear();
    }
    return true;
  }

  void send() {
    const ssize_t sent =
        ::send(connection_.get(), to_guest_.data(), to_guest_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      to_guest_.erase(0, static_cast<std::size_t>(sent));
    } else if (errno != EINTR && errno != EAGAIN) {
      to_guest_.clear();  // the agent's last messages may still be readable
      input_ended_ = true;
    }
  }

  void receive() {
    std::array<char, 64 * 1024> bytes;
    const ssize_t got = ::recv(connection_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) return lost("the connection to the guest ended");
    decoder_.feed({bytes.data(), static_cast<std::size_t>(got)});
    while (!outcome_) {
      auto message = decoder_.next();
      if (!message) return lost("the agent's answer is malformed: " + message.error().message);
      if (!*message) return;
      take(**message);
    }
  }

  void take(const protocol::Message& message) {
    switch (message.type) {
      case MessageType::kStdout:
        if (!out_.broken) out_.pending += message.payload;
        return;
      case MessageType::kStderr:
        if (!err_.broken) err_.pending += message.payload;
        return;
      case MessageType::kStdinAck: {
        const auto bytes = protocol::from_payload<std::uint32_t>(message.payload);
        if (!bytes)
          return lost("the agent's answer is malformed: an acknowledgement of stdin has the wrong size");
        unacknowledged_ -= std::min<std::size_t>(unacknowledged_, *bytes);
        return;
      }
      case MessageType::kExited: {
        const auto status = protocol::from_payload<std::int32_t>(message.payload);
        if (!status) return lost("the agent's answer is malformed: an exit status has the wrong size");
        outcome_ = CommandEnd{CommandEnd::Kind::kExited, *status & 0xff, {}};
        return;
      }
      case MessageType::kExecFailed: {
        const std::string_view payload = message.payload;
        const auto errnum = protocol::from_payload<std::uint32_t>(payload.substr(0, sizeof(std::uint32_t)));
        if (!errnum) return lost("the agent's answer is malformed: a failure to start has no reason");
        outcome_ = CommandEnd{CommandEnd::Kind::kCannotRun, *errnum == ENOENT ? 127 : 126,
                              printable(payload.substr(sizeof(std::uint32_t)))};
        return;
      }
      default:
        return lost(fmt::format("the agent's answer is malformed: message type {} is not expected",
                                static_cast<std::uint32_t>(message.type)));
    }
  }

  UniqueFd connection_;
  const SignalWatch& signals_;
  const bool tty_;
  const std::uint64_t patience_ns_;
  const int in_;
  Sink out_;
  Sink err_;
  protocol::MessageDecoder decoder_;
  std::string to_guest_;
  std::size_t unacknowledged_ = 0;
  bool input_ended_ = false;
  int signals_seen_ = 0;
  int last_signal_ = 0;
  int passed_on_ = 0;                      // the last signal that the command was sent
  std::optional<std::uint64_t> leave_at_;  // monotonic_ns(), once a signal was passed on
  std::string output_error_;               // the first
  bool interrupted_ = false;
  std::optional<CommandEnd> outcome_;
};

}  // namespace

Result<CommandEnd> run_command(UniqueFd connection, const CommandSpec& command, const Streams& streams,
                               const SignalWatch& signals) {
  ::signal(SIGPIPE, SIG_IGN);
  std::optional<RawTerminal> raw;
  if (command.tty && ::isatty(streams.in) == 1) {
    GB_ASSIGN(auto terminal, RawTerminal::enter(streams.in));
    raw.emplace(std::move(terminal));
  }
  return CommandRelay(std::move(connection), command, streams, signals).run();
}

std::vector<std::string> terminal_env() {
  std::vector<std::string> env;
  for (const char* name : {"TERM", "LANG"}) {
    if (const char* value = std::getenv(name)) env.push_back(std::string(name) + "=" + value);
  }
  return env;
}

Status request_power_off(int connection) {
  return protocol::send_message(connection, protocol::MessageType::kPowerOff, {});
}

}  // namespace glassbox::client
