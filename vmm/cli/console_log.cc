#include "vmm/cli/console_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <string_view>

#include "vmm/base/io.h"

namespace glassbox::cli {
ConsoleLog::ConsoleLog(const std::filesystem::path& file, bool echo)
    : file_(::open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)), echo_(echo) {}

void ConsoleLog::write(std::span<const std::uint8_t> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  {
    const std::lock_guard lock(mutex_);
    kept_.append(text);
    if (kept_.size() > 2 * kKeepBytes) kept_.erase(0, kept_.size() - kKeepBytes);
    write_file(text);
  }
  if (echo_) write_or_drop(STDERR_FILENO, text);  // so that the end of the machine never waits for a reader
}

void ConsoleLog::write_file(std::string_view bytes) {
  if (!file_) return;
  if (file_size_ + bytes.size() > kFileBytes) {  // start the file again with the last part
    if (::ftruncate(file_.get(), 0) < 0) return;
    bytes = std::string_view(kept_).substr(kept_.size() - std::min(kept_.size(), kKeepBytes));
    file_size_ = 0;
  }
  const ssize_t done = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(file_size_));
  if (done > 0) file_size_ += static_cast<std::size_t>(done);
}

std::string ConsoleLog::tail(std::size_t lines) const {
  const std::lock_guard lock(mutex_);
  std::deque<std::string> last;
  std::string line;
  const auto end_line = [&] {
    if (!line.empty()) last.push_back("  " + line + "\n");
    if (last.size() > lines) last.pop_front();
    line.clear();
  };
  for (const char c : kept_) {
    if (c == '\n') {
      end_line();
    } else if (c >= ' ' && c <= '~' && line.size() < 300) {
      line.push_back(c);
    }
  }
  end_line();
  std::string result;
  for (const std::string& l : last)
    result += l;
  return result;
}

}  // namespace glassbox::cli
