#include "vmm/cli/console_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "vmm/base/io.h"
#include "vmm/base/say.h"

namespace glassbox::cli {
namespace {

// How the kernel begins to report what it cannot go on after (arch/x86/kernel, lib/bug.c, kernel/panic.c).
constexpr std::array<std::string_view, 10> kCrashMarks = {"BUG: ",           "kernel BUG at ",
                                                          "Oops: ",          "general protection fault",
                                                          "nable to handle", "invalid opcode: ",
                                                          "divide error: ",  "double fault: ",
                                                          "stack segment: ", "Kernel panic - not syncing"};

bool is_crash(std::string_view line) {
  return std::any_of(kCrashMarks.begin(), kCrashMarks.end(),
                     [line](std::string_view mark) { return line.find(mark) != std::string_view::npos; });
}

std::string indented(std::span<const std::string> lines) {
  std::string result;
  for (const std::string& line : lines)
    result += "  " + line + "\n";
  return result;
}

}  // namespace

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
  write_users_file(text);
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

void ConsoleLog::write_users_file(std::string_view bytes) {
  if (!users_file_) return;
  const std::string_view part = bytes.substr(0, kUserFileBytes - users_file_size_);
  users_file_size_ += part.size();
  bool written = write_all(users_file_.get(), part);
  if (part.size() < bytes.size()) {
    written =
        written && write_all(users_file_.get(), "\n[glassbox: the console's log ends here: it is full]\n");
    users_file_.reset();
  }
  if (written) return;
  users_file_.reset();
  say(stderr, fmt::format("glassbox: cannot write the console's log: {}\n", std::strerror(errno)));
}

std::vector<std::string> ConsoleLog::shown_lines() const {
  constexpr std::size_t kLineBytes = 300;
  const std::lock_guard lock(mutex_);
  std::vector<std::string> lines;
  std::string line;
  for (const char c : kept_) {
    if (c == '\n' && !line.empty()) lines.push_back(std::exchange(line, {}));
    if (c >= ' ' && c <= '~' && line.size() < kLineBytes) line.push_back(c);
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

std::string ConsoleLog::tail(std::size_t lines) const {
  const std::vector<std::string> all = shown_lines();
  return indented(std::span(all).last(std::min(lines, all.size())));
}

std::string ConsoleLog::crash_or_tail(std::size_t lines) const {
  const std::vector<std::string> all = shown_lines();
  const auto crash = std::find_if(all.begin(), all.end(), is_crash);
  const std::size_t first =
      std::min(static_cast<std::size_t>(crash - all.begin()), all.size() - std::min(lines, all.size()));
  const std::size_t count = std::min(all.size() - first, crash == all.end() ? lines : kCrashLines);
  return indented(std::span(all).subspan(first, count));
}

}  // namespace glassbox::cli
