#include "guest/agent/command_session.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <utility>

namespace glassbox::agent {

using protocol::MessageType;

namespace {

constexpr std::size_t kMaxReason =
    1024;  // bytes of a failure's text: a command's name may be as long as 128 KiB

}  // namespace

void CommandSession::collect(std::vector<pollfd>& fds) {
  if (connection_) finish_if_ended();
  if (connection_) {
    fds.push_back({connection_.get(), static_cast<short>(POLLIN | (output_.empty() ? 0 : POLLOUT)), 0});
  }
  if (!started_) return;
  if (!status_known_) fds.push_back({command_.pid_fd.get(), POLLIN, 0});
  const short input = input_.empty() ? 0 : POLLOUT;
  if (command_.stdin_fd && input != 0) fds.push_back({command_.stdin_fd.get(), input, 0});
  const short read = output_.size() < kOutputLimit ? POLLIN : 0;
  const short terminal = static_cast<short>(read | (tty_ ? input : 0));
  if (command_.stdout_fd && terminal != 0) fds.push_back({command_.stdout_fd.get(), terminal, 0});
  if (command_.stderr_fd && read != 0) fds.push_back({command_.stderr_fd.get(), read, 0});
}

void CommandSession::handle(const pollfd& event) {
  if (event.revents == 0) return;
  const bool readable = (event.revents & (POLLIN | POLLHUP | POLLERR)) != 0;
  const bool writable = (event.revents & (POLLOUT | POLLHUP | POLLERR)) != 0;
  if (event.fd == connection_.get()) {
    if ((event.revents & POLLOUT) != 0) send_output();
    if (connection_ && readable) receive();
  } else if (event.fd == command_.pid_fd.get()) {
    reap();
  } else if (event.fd == command_.stdin_fd.get()) {
    write_input();
  } else if (event.fd == command_.stdout_fd.get()) {
    if (tty_ && writable && !input_.empty()) write_input();
    if (readable && (event.events & POLLIN) != 0) read_output(command_.stdout_fd, MessageType::kStdout);
  } else if (event.fd == command_.stderr_fd.get()) {
    read_output(command_.stderr_fd, MessageType::kStderr);
  }
}

void CommandSession::reap() {
  if (status_known_ || !started_) return;
  int status = 0;
  if (::waitpid(command_.pid, &status, WNOHANG) != command_.pid) return;
  status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  status_known_ = true;
  command_.pid_fd.reset();
  command_.stdin_fd.reset();
}

void CommandSession::receive() {
  std::array<char, 64 * 1024> bytes;
  const ssize_t got = ::recv(connection_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return abandon();
  decoder_.feed({bytes.data(), static_cast<std::size_t>(got)});
  while (connection_) {
    auto message = decoder_.next();
    if (!message) return abandon();
    if (!*message) return;
    handle_message(**message);
  }
}

void CommandSession::handle_message(const protocol::Message& message) {
  if (last_message_queued_) return;  // sent by the host before it could know that the command had ended
  switch (message.type) {
    case MessageType::kExecArguments:
      return collect_strings(strings_.arguments, message.payload);
    case MessageType::kExecEnvironment:
      return collect_strings(strings_.environment, message.payload);
    case MessageType::kExecStart:
      return started_ ? abandon() : start(message.payload);
    case MessageType::kPowerOff:
      power_off_ = true;
      return;
    case MessageType::kStdin:
      return started_ ? buffer_input(message.payload) : abandon();
    case MessageType::kResize:
      return started_ ? resize(message.payload) : abandon();
    case MessageType::kSignal: {
      const auto number = protocol::from_payload<std::uint32_t>(message.payload);
      if (!started_ || !number || *number == 0 || *number > 64) return abandon();
      return signal(static_cast<int>(*number));
    }
    default:
      return abandon();
  }
}

void CommandSession::start(std::string_view json) {
  auto request = parse_command(json, std::exchange(strings_, {}));
  auto command = request ? spawn(*request) : tl::unexpected<Error>(Error{request.error().message, EINVAL});
  if (!command) return refuse(command.error().code, command.error().message);
  command_ = std::move(*command);
  tty_ = request->tty;
  started_ = true;
}

void CommandSession::collect_strings(std::string& to, std::string_view bytes) {
  if (started_) return abandon();
  if (to.size() + bytes.size() > protocol::kMaxCommand) return refuse(E2BIG, std::strerror(E2BIG));
  to.append(bytes);
}

void CommandSession::refuse(int errnum, std::string_view why) {
  const auto code = static_cast<std::uint32_t>(errnum);
  std::string payload(protocol::as_payload(code));
  payload += why.substr(0, kMaxReason);
  protocol::append_message(output_, MessageType::kExecFailed, payload);
  last_message_queued_ = true;
}

void CommandSession::buffer_input(std::string_view bytes) {
  if (input_ended_ || input_.size() + bytes.size() > protocol::kStdinWindow) return abandon();
  if (!bytes.empty()) {
    input_.append(bytes);
  } else {
    input_ended_ = true;
    if (tty_) input_.push_back('\x04');  // Ctrl-D: how a terminal's user types end of file
  }
  write_input();
}

void CommandSession::write_input() {
  UniqueFd& fd = tty_ ? command_.stdout_fd : command_.stdin_fd;
  std::uint32_t taken = 0;
  while (fd && taken < input_.size()) {
    const ssize_t n = ::write(fd.get(), input_.data() + taken, input_.size() - taken);
    if (n >= 0) {
      taken += static_cast<std::uint32_t>(n);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      if (!tty_) fd.reset();  // the command has closed its input
      taken = static_cast<std::uint32_t>(input_.size());
    }
  }
  if (!fd) taken = static_cast<std::uint32_t>(input_.size());
  input_.erase(0, taken);
  if (taken > 0) {
    protocol::append_message(output_, MessageType::kStdinAck, protocol::as_payload(taken));
  }
  if (!tty_ && input_ended_ && input_.empty()) command_.stdin_fd.reset();
}

void CommandSession::read_output(UniqueFd& fd, MessageType type) {
  std::array<char, protocol::kMaxPayload> bytes;
  const ssize_t got = ::read(fd.get(), bytes.data(), bytes.size());
  if (got > 0) {
    protocol::append_message(output_, type, {bytes.data(), static_cast<std::size_t>(got)});
  } else if (got == 0 || (errno != EINTR && (errno != EAGAIN || status_known_))) {
    // The end: end of file, EIO (a terminal's end of file), or an empty pipe after the command has ended.
    fd.reset();
  }
}

void CommandSession::send_output() {
  while (!output_.empty()) {
    const ssize_t sent =
        ::send(connection_.get(), output_.data(), output_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent <= 0) return abandon();
    output_.erase(0, static_cast<std::size_t>(sent));
  }
}

void CommandSession::signal(int number) const {
  if (status_known_) return;
  pid_t group = command_.pid;
  if (tty_) {
    const pid_t foreground = ::tcgetpgrp(command_.stdout_fd.get());
    if (foreground > 0) group = foreground;
  }
  ::kill(-group, number);
}

void CommandSession::resize(std::string_view payload) const {
  const auto size = protocol::from_payload<std::array<std::uint16_t, 2>>(payload);
  if (!size || !tty_ || !command_.stdout_fd) return;
  const winsize window{(*size)[0], (*size)[1], 0, 0};
  ::ioctl(command_.stdout_fd.get(), TIOCSWINSZ, &window);
}

void CommandSession::finish_if_ended() {
  while (status_known_ && !last_message_queued_ && output_.size() < kOutputLimit) {
    if (command_.stdout_fd) {
      read_output(command_.stdout_fd, MessageType::kStdout);
    } else if (command_.stderr_fd) {
      read_output(command_.stderr_fd, MessageType::kStderr);
    } else {
      const std::int32_t status = status_;
      protocol::append_message(output_, MessageType::kExited, protocol::as_payload(status));
      last_message_queued_ = true;
    }
  }
  if (!output_.empty()) send_output();
  if (last_message_queued_ && output_.empty()) connection_.reset();
}

void CommandSession::abandon() {
  connection_.reset();
  command_.stdin_fd.reset();
  command_.stdout_fd.reset();
  command_.stderr_fd.reset();
  if (!started_ || status_known_) return;
  ::kill(-command_.pid, SIGHUP);
  ::kill(-command_.pid, SIGCONT);
}

}  // namespace glassbox::agent
