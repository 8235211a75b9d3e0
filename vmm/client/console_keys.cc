#include "vmm/client/console_keys.h"

#include <unistd.h>

#include <array>
#include <string_view>

namespace glassbox::client {

Result<ConsoleKeys> ConsoleKeys::create(int terminal) {
  GB_ASSIGN(Pipe pipe, make_pipe());
  set_nonblocking(pipe.write.get());
  GB_ASSIGN(RawTerminal raw, RawTerminal::enter(terminal));
  return ConsoleKeys(terminal, std::move(raw), std::move(pipe));
}

bool ConsoleKeys::pass_on() {
  std::array<char, 256> bytes;
  const ssize_t got = ::read(terminal_, bytes.data(), bytes.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (got <= 0) {  // the terminal is gone: end of the input
    terminal_ = -1;
    pipe_.write.reset();
    return true;
  }
  const std::string_view typed(bytes.data(), static_cast<std::size_t>(got));
  const std::size_t escape = typed.find(kEscapeKey);
  write_once(pipe_.write.get(), typed.substr(0, escape));
  return escape == std::string_view::npos;
}

}  // namespace glassbox::client
