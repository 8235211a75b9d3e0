// Theory of operation.
//
// One poll loop over the caller's socket, the command's pipes or pty, and the command's pidfd. All
// descriptors are non-blocking; credits (wire.h) limit the bytes in `to_caller_` and `to_stdin_`.
//
// End of the command: its pidfd becomes readable. The pipes may still hold output, so the loop continues
// until each source has been read empty, then sends Exit. It does not wait for their end of file, because a
// background process (a detached VM) may keep the pipes open for hours. A pty delivers its bytes with a
// delay, so there "empty" means end of file or 100 ms of silence.
//
// A pong promises that the machine works, so before it answers a ping this process runs on each CPU and asks
// the host. If one of them does not answer, this process blocks, and the caller's patience (liveness.h) runs
// out.
//
// End of the caller (it was killed): the command's session gets SIGHUP, as from a closed terminal, and
// SIGKILL if it still exists 3 s later. A process that made a session of its own (a daemon) is left alone.
#include "tools/lab/session.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <optional>

#include "tools/lab/child.h"
#include "tools/lab/health.h"
#include "tools/lab/io.h"
#include "tools/lab/wire.h"
#include "vmm/base/io.h"

namespace glassbox::lab {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kTerminalSilence = std::chrono::milliseconds(100);
constexpr int kHangupGraceMs = 3000;

// A comparison whose duration does not depend on where the first difference is.
bool same_token(const std::string& a, const std::string& b) {
  unsigned different = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    different |= static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]));
  }
  return different == 0;
}

// Reads frames, blocking with the socket's receive time-out, until the first is whole.
std::optional<Frame> first_frame(int socket, Decoder& decoder) {
  std::string bytes;
  while (read_some(socket, kChunk, bytes) == ReadState::kBytes) {
    decoder.feed(bytes);
    if (auto frame = decoder.next()) return frame;
    if (decoder.broken()) return std::nullopt;
  }
  return std::nullopt;
}

struct Source {
  int fd = -1;
  Stream stream{};
  std::size_t window = kWindow;
  bool drained = false;  // has been read empty after the command's end
  bool is_terminal = false;
};

class CommandServer {
 public:
  CommandServer(UniqueFd socket, Decoder decoder, Child child, std::string host_file)
      : socket_(std::move(socket)),
        decoder_(std::move(decoder)),
        child_(std::move(child)),
        host_file_(std::move(host_file)) {
    if (child_.terminal) sources_.push_back({child_.terminal.get(), Stream::kTerminal, kWindow, false, true});
    if (child_.pipes[1]) sources_.push_back({child_.pipes[1].get(), Stream::kStdout});
    if (child_.pipes[2]) sources_.push_back({child_.pipes[2].get(), Stream::kStderr});
    stdin_fd_ = child_.pipes[0] ? child_.pipes[0].get() : child_.terminal.get();
    set_nonblocking(socket_.get());
    to_caller_.push(encode(Type::kAccepted));
  }

  void run() {
    while (!caller_gone_ && !finished())
      turn();
    if (caller_gone_) {
      hang_up();
    } else {
      say_exit();
    }
  }

 private:
  [[nodiscard]] bool finished() const {
    return exited_ && std::all_of(sources_.begin(), sources_.end(),
                                  [](const Source& s) { return s.fd < 0 || s.drained; });
  }

  void turn() {
    std::vector<pollfd> fds;
    const auto watch = [&fds](int fd, int events) {
      if (fd >= 0 && events != 0) fds.push_back({fd, static_cast<short>(events), 0});
    };
    watch(socket_.get(), POLLIN | (to_caller_.empty() ? 0 : POLLOUT));
    if (!exited_) watch(child_.pidfd.get(), POLLIN);
    if (!to_stdin_.empty()) watch(stdin_fd_, POLLOUT);
    for (const Source& source : sources_) {
      if (source.window > 0) watch(source.fd, POLLIN);
    }
    ::poll(fds.data(), fds.size(), exited_ ? 20 : -1);
    take_frames();
    if (!exited_) look_at_child();
    feed_stdin();
    for (Source& source : sources_)
      read_source(source);
    if (!to_caller_.flush(socket_.get(), kWindow)) caller_gone_ = true;
  }

  void take_frames() {
    std::string bytes;
    ReadState state{};
    while ((state = read_some(socket_.get(), kChunk, bytes)) == ReadState::kBytes)
      decoder_.feed(bytes);
    while (auto frame = decoder_.next())
      take(*frame);
    if (state == ReadState::kEnd || decoder_.broken()) caller_gone_ = true;
  }

  void take(const Frame& frame) {
    const std::string_view payload = frame.payload;
    const auto stream = stream_of(payload);
    switch (frame.type) {
      case Type::kData:
        if (stream == Stream::kStdin && stdin_fd_ >= 0) to_stdin_.push(payload.substr(1));
        break;
      case Type::kEnd:
        if (stream == Stream::kStdin) stdin_ended_ = true;
        if (stream == Stream::kStdout || stream == Stream::kStderr) close_source(*stream);
        break;
      case Type::kCredit:
        for (Source& source : sources_) {
          if (source.stream == stream) source.window += u32_at(payload, 1).value_or(0);
        }
        break;
      case Type::kSignal:
        if (!exited_) ::kill(-child_.pid, static_cast<int>(u32_at(payload, 0).value_or(SIGTERM)));
        break;
      case Type::kWindowSize: {
        winsize size{};
        size.ws_row = static_cast<unsigned short>(u32_at(payload, 0).value_or(24));
        size.ws_col = static_cast<unsigned short>(u32_at(payload, 4).value_or(80));
        if (child_.terminal) ::ioctl(child_.terminal.get(), TIOCSWINSZ, &size);
        break;
      }
      case Type::kPing:
        visit_every_cpu();
        ask_the_host(host_file_);
        to_caller_.push(encode(Type::kPong));
        break;
      default:
        break;
    }
  }

  // The caller's stdout is closed, so the command's is closed as well: it gets SIGPIPE, as without the lab.
  void close_source(Stream stream) {
    for (Source& source : sources_) {
      if (source.stream == stream) source.fd = -1;
    }
    child_.pipes[static_cast<std::size_t>(stream)].reset();
  }

  void feed_stdin() {
    if (stdin_fd_ >= 0 && !to_stdin_.empty()) {
      const auto written = to_stdin_.flush(stdin_fd_, kWindow);
      if (!written) {
        stdin_ended_ = true;  // the command closed its stdin: the rest has no reader
        to_stdin_.clear();
        to_caller_.push(encode_end(Stream::kStdin));
      } else if (*written > 0) {
        to_caller_.push(encode_credit(Stream::kStdin, static_cast<std::uint32_t>(*written)));
      }
    }
    if (stdin_ended_ && to_stdin_.empty() && child_.pipes[0]) {
      child_.pipes[0].reset();
      stdin_fd_ = -1;
    }
  }

  void look_at_child() {
    int status = 0;
    if (::waitpid(child_.pid, &status, WNOHANG) != child_.pid) return;
    exited_ = true;
    silent_since_ = Clock::now();
    status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  void read_source(Source& source) {
    std::string bytes;
    while (source.fd >= 0 && source.window > 0) {
      const ReadState state = read_some(source.fd, source.window, bytes);
      if (state == ReadState::kBytes) {
        source.window -= bytes.size();
        to_caller_.push(encode_data(source.stream, bytes));
        silent_since_ = Clock::now();
        continue;
      }
      if (state == ReadState::kEnd) {
        // After its last user closed a pty, another may open it while the command runs.
        if (!source.is_terminal || exited_) source.fd = -1;
        if (source.is_terminal && !exited_) ::usleep(1000);
      } else if (exited_ && (!source.is_terminal || Clock::now() - silent_since_ > kTerminalSilence)) {
        source.drained = true;
      }
      return;
    }
  }

  void say_exit() {
    to_caller_.push(encode_u32(Type::kExit, static_cast<std::uint32_t>(status_)));
    // close() with unread input would reset the connection and lose its last bytes: let the caller close
    // first.
    std::string bytes;
    while (true) {
      if (!to_caller_.flush(socket_.get(), kWindow)) return;
      pollfd fd{socket_.get(), static_cast<short>(POLLIN | (to_caller_.empty() ? 0 : POLLOUT)), 0};
      if (::poll(&fd, 1, 10'000) <= 0) return;
      if (read_some(socket_.get(), kChunk, bytes) == ReadState::kEnd) return;
    }
  }

  void hang_up() {
    if (exited_) return;
    child_.terminal.reset();
    signal_session(child_.pid, SIGHUP);
    signal_session(child_.pid, SIGCONT);
    pollfd fd{child_.pidfd.get(), POLLIN, 0};
    ::poll(&fd, 1, kHangupGraceMs);
    signal_session(child_.pid, SIGKILL);
  }

  UniqueFd socket_;
  Decoder decoder_;
  Child child_;
  std::string host_file_;
  Outbox to_caller_;
  Outbox to_stdin_;
  std::vector<Source> sources_;
  int stdin_fd_ = -1;
  bool stdin_ended_ = false;
  bool caller_gone_ = false;
  bool exited_ = false;
  int status_ = 0;
  Clock::time_point silent_since_;
};

}  // namespace

void serve_session(UniqueFd socket, const std::string& token, const std::string& host_file) {
  timeval patience{10, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto refuse = [&socket](const std::string& frame) {
    Outbox out;
    out.push(frame);
    (void)out.flush(socket.get(), frame.size());
    ::shutdown(socket.get(), SHUT_WR);
    std::string rest;
    while (read_some(socket.get(), kChunk, rest) == ReadState::kBytes) {
    }
  };
  Decoder decoder;
  const auto frame = first_frame(socket.get(), decoder);
  const auto hello = frame && frame->type == Type::kHello ? decode_hello(frame->payload) : std::nullopt;
  if (!hello || !same_token(hello->token, token)) {
    refuse(encode(Type::kRefused, "not a caller of this lab"));
    return;
  }
  auto child = start_child(*hello);
  if (!child) {
    refuse(encode_u32(Type::kCannotStart, static_cast<std::uint32_t>(child.error().status),
                      child.error().message));
    return;
  }
  CommandServer(std::move(socket), std::move(decoder), std::move(*child), host_file).run();
}

}  // namespace glassbox::lab
