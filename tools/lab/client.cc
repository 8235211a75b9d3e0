// Theory of operation.
//
// One poll loop over stdin, stdout/stderr, the socket and a signalfd. The caller's descriptors are shared
// with other processes, so they are never made non-blocking: stdin is read once after poll() reports it, and
// at most PIPE_BUF bytes are written after poll() reports room, which does not block.
//
// Signals go to the command, and its exit status becomes this process's. Three terminating signals within two
// seconds end the wait for the command. liveness.h decides when a lab that does not answer has failed. The
// terminal is raw only while a command uses it: until then, Ctrl-C is a signal to this process.
#include "tools/lab/client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>

#include "tools/lab/io.h"
#include "tools/lab/liveness.h"
#include "tools/lab/terminal.h"
#include "tools/lab/wire.h"

extern "C" char** environ;

namespace glassbox::lab {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kGiveUpWithin = std::chrono::seconds(2);

// The part of the caller's environment that is meaningful on another machine.
std::vector<std::string> environment_for_lab() {
  static constexpr std::array kNames{"PATH=", "HOME=", "USER=",      "LOGNAME=", "SHELL=",   "TERM=",
                                     "LANG=", "TZ=",   "COLORTERM=", "CI=",      "NO_COLOR="};
  static constexpr std::array kPrefixes{"LC_", "GLASSBOX_", "GTEST_", "CTEST_", "BENCHMARK_"};
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto starts = [text](const char* with) { return text.starts_with(with); };
    const std::string_view name = text.substr(0, text.find('='));
    if (name == "GLASSBOX_IN_LAB") continue;
    if (std::any_of(kNames.begin(), kNames.end(), starts) ||
        std::any_of(kPrefixes.begin(), kPrefixes.end(), starts) || name.ends_with("SAN_OPTIONS")) {
      out.emplace_back(text);
    }
  }
  out.emplace_back("GLASSBOX_IN_LAB=1");
  return out;
}

// Does not wait: a machine whose emulator has stopped does not even accept the connection.
Result<UniqueFd> connect_to(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    return fail_errno(
        errno, "cannot reach the lab on port {} (it may just have stopped; run the command again)", port);
  }
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// The last line of the console that says why a machine died.
std::string console_reason(const std::string& path) {
  std::ifstream log(path);
  std::string line;
  std::string reason;
  while (std::getline(log, line)) {
    if (line.find("Kernel panic") != std::string::npos || line.starts_with("lab: ")) reason = line;
  }
  while (!reason.empty() && (reason.back() == '\r' || reason.back() == '\n'))
    reason.pop_back();
  return reason.find("Kernel panic") != std::string::npos || reason.find("idle") != std::string::npos ? reason
                                                                                                      : "";
}

struct Sink {
  int fd = -1;
  Stream stream{};
  std::size_t at_once = PIPE_BUF;
  Outbox pending;
};

class Client {
 public:
  Client(const ClientOptions& options, UniqueFd socket, UniqueFd signals)
      : options_(options),
        socket_(std::move(socket)),
        signals_(std::move(signals)),
        liveness_(std::chrono::seconds(options.patience_s), Clock::now()) {
    mask_ = terminal_mask();
    stdin_open_ = ::isatty(0) == 0 || (mask_ & 1u) != 0;
    sinks_[0] = {1, Stream::kStdout, PIPE_BUF, {}};
    sinks_[1] = {2, Stream::kStderr, PIPE_BUF, {}};
    // The pty's output goes to whichever of the caller's descriptors is the terminal.
    const int terminal_fd = (mask_ & 2u) != 0 ? 1 : (mask_ & 4u) != 0 ? 2 : 0;
    sinks_[2] = {terminal_fd, Stream::kTerminal, PIPE_BUF, {}};
  }

  Result<int> run(const std::string& token) {
    Hello hello;
    hello.token = token;
    hello.terminal_mask = mask_;
    std::tie(hello.rows, hello.columns) = window_size();
    std::array<char, PATH_MAX> directory{};
    if (::getcwd(directory.data(), directory.size()) == nullptr)
      return fail_errno(errno, "working directory");
    hello.directory = directory.data();
    hello.environment = environment_for_lab();
    hello.command = options_.command;
    const std::string frame = encode_hello(hello);
    if (frame.size() > kMaxPayload) return fail("the command line is too long for the lab");
    to_lab_.push(frame);

    while (!result_ || !all_written()) {
      GB_TRY(turn());
    }
    return *result_;
  }

 private:
  [[nodiscard]] bool all_written() const {
    return std::all_of(sinks_.begin(), sinks_.end(), [](const Sink& s) { return s.pending.empty(); });
  }

  Status turn() {
    std::vector<pollfd> fds;
    fds.push_back({signals_.get(), POLLIN, 0});
    if (!result_) {
      fds.push_back({socket_.get(), static_cast<short>(POLLIN | (to_lab_.empty() ? 0 : POLLOUT)), 0});
    }
    const bool want_stdin = stdin_open_ && accepted_ && window_ > 0 && !result_;
    if (want_stdin) fds.push_back({0, POLLIN, 0});
    for (const Sink& sink : sinks_) {
      if (!sink.pending.empty()) fds.push_back({sink.fd, POLLOUT, 0});
    }
    ::poll(fds.data(), fds.size(), 1000);
    const auto ready = [&fds](int fd) {
      return std::any_of(fds.begin(), fds.end(),
                         [fd](const pollfd& p) { return p.fd == fd && p.revents != 0; });
    };
    GB_TRY(take_signals());
    if (want_stdin && ready(0)) read_stdin();
    for (Sink& sink : sinks_) {
      if (!sink.pending.empty() && ready(sink.fd)) write_out(sink);
    }
    if (result_) return {};
    GB_TRY(exchange());
    return keep_alive();
  }

  // Writes to the lab and reads from it.
  Status exchange() {
    const bool lost = !to_lab_.flush(socket_.get(), kWindow);
    std::string bytes;
    ReadState state{};
    while ((state = read_some(socket_.get(), kChunk, bytes)) == ReadState::kBytes)
      decoder_.feed(bytes);
    while (auto frame = decoder_.next()) {
      liveness_.heard();
      GB_TRY(take(*frame));
    }
    if (result_ || !(lost || state == ReadState::kEnd || decoder_.broken())) return {};
    const std::string reason = console_reason(options_.console_log);
    return fail("the lab ended while the command ran{}{} (console: {})", reason.empty() ? "" : ": ", reason,
                options_.console_log);
  }

  Status take(const Frame& frame) {
    const std::string_view payload = frame.payload;
    const auto stream = stream_of(payload);
    switch (frame.type) {
      case Type::kAccepted:
        accepted_ = true;
        raw_.emplace(0, (mask_ & 1u) != 0);
        break;
      case Type::kRefused:
        return fail(
            "the lab refused: {} (another program may have taken its port; 'tools/in-lab --stop', then "
            "again)",
            payload);
      case Type::kCannotStart:
        result_ = static_cast<int>(u32_at(payload, 0).value_or(125));
        sinks_[1].pending.push(
            "in-lab: " + std::string(payload.substr(std::min<std::size_t>(4, payload.size()))) + "\n");
        break;
      case Type::kExit:
        result_ = static_cast<int>(u32_at(payload, 0).value_or(125));
        break;
      case Type::kData:
        for (Sink& sink : sinks_) {
          if (sink.stream != stream) continue;
          sink.pending.push(payload.substr(1));
          write_out_now(sink);
        }
        break;
      case Type::kEnd:
        if (stream == Stream::kStdin) stdin_open_ = false;
        break;
      case Type::kCredit:
        if (stream == Stream::kStdin) window_ += u32_at(payload, 1).value_or(0);
        break;
      default:
        break;
    }
    return {};
  }

  void read_stdin() {
    std::string bytes;
    const ReadState state = read_some(0, window_, bytes);
    if (state == ReadState::kBytes) {
      window_ -= bytes.size();
      if (raw_->active() && bytes.find_first_of("\x03\x1c") != std::string::npos) {
        liveness_.want_end(Clock::now());  // Ctrl-C, Ctrl-\: the lab's terminal makes the signal, if it lives
      }
      to_lab_.push(encode_data(Stream::kStdin, bytes));
    } else if (state == ReadState::kEnd) {
      stdin_open_ = false;
      to_lab_.push(encode_end(Stream::kStdin));
    }
  }

  // Saves a poll() if the descriptor already has room.
  void write_out_now(Sink& sink) {
    pollfd fd{sink.fd, POLLOUT, 0};
    if (::poll(&fd, 1, 0) > 0) write_out(sink);
  }

  void write_out(Sink& sink) {
    const auto written = sink.pending.flush(sink.fd, sink.at_once);
    if (written) {
      if (*written > 0) to_lab_.push(encode_credit(sink.stream, static_cast<std::uint32_t>(*written)));
      return;
    }
    sink.pending.clear();
    to_lab_.push(encode_end(sink.stream));  // the reader is gone: tell the command
  }

  Status take_signals() {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      const auto number = static_cast<int>(info.ssi_signo);
      if (number == SIGWINCH || number == SIGCONT) {
        if (raw_) raw_->again();
        const auto [rows, columns] = window_size();
        to_lab_.push(encode_window_size(rows, columns));
        continue;
      }
      to_lab_.push(encode_u32(Type::kSignal, info.ssi_signo));
      if (number != SIGUSR1 && number != SIGUSR2) liveness_.want_end(Clock::now());
      if (number != SIGINT && number != SIGTERM) continue;
      const auto now = Clock::now();
      signal_times_ = {signal_times_[1], signal_times_[2], now};
      if (now - signal_times_[0] < kGiveUpWithin) {
        return fail("gave up after three signals; the lab hangs up on the command");
      }
    }
    return {};
  }

  // Comes last in a turn, after everything that the lab has sent was read.
  Status keep_alive() {
    const auto now = Clock::now();
    if (const auto silence = liveness_.dead(now)) {
      return fail("the lab has not answered for {} s; 'tools/in-lab --stop' ends it (console: {})",
                  silence->count(), options_.console_log);
    }
    if (liveness_.ask(now)) to_lab_.push(encode(Type::kPing));
    return {};
  }

  const ClientOptions& options_;
  UniqueFd socket_;
  UniqueFd signals_;
  Decoder decoder_;
  Outbox to_lab_;
  std::array<Sink, 3> sinks_;
  std::optional<RawTerminal> raw_;  // set once Accepted has come
  std::uint32_t mask_ = 0;
  std::size_t window_ = kWindow;
  bool stdin_open_ = true;
  bool accepted_ = false;
  std::optional<int> result_;
  Liveness liveness_;
  std::array<Clock::time_point, 3> signal_times_{};
};

}  // namespace

Result<int> run_client(const ClientOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);
  GB_ASSIGN(UniqueFd signals,
            signal_fd({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT}));
  GB_ASSIGN(const std::string token, read_token(options.token_file));
  GB_ASSIGN(UniqueFd socket, connect_to(options.port));
  return Client(options, std::move(socket), std::move(signals)).run(token);
}

}  // namespace glassbox::lab
