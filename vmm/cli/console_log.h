// The guest's serial console: its last bytes are kept, to be shown if the guest fails, and written to a file
// in the runtime directory, which `glassbox logs` prints. With `echo` they go to stderr as well, and to a
// file of the user's from the first byte on, if there is one (--console-log).
//
// The guest may write without limit: memory and files are bounded, and the shown text has no control
// characters.
//
// Thread: write() on the console's thread, the rest on any.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/unique_fd.h"

namespace glassbox::cli {

class ConsoleLog {
 public:
  static constexpr std::size_t kKeepBytes = 64 * 1024;
  static constexpr std::size_t kFileBytes = 1024 * 1024;
  static constexpr std::size_t kUserFileBytes = 64 * 1024 * 1024;
  static constexpr std::size_t kCrashLines = 200;

  // The file is optional: if it cannot be opened, the log works without it.
  ConsoleLog(const std::filesystem::path& file, bool echo);

  // Before the first write(). What comes after kUserFileBytes is left out, and the file's last line says so.
  void keep_in(UniqueFd users_file) { users_file_ = std::move(users_file); }

  void write(std::span<const std::uint8_t> bytes);
  // The last lines, each indented by two spaces and ended; empty if the console was silent.
  [[nodiscard]] std::string tail(std::size_t lines) const;
  // As tail(), but from the first line of a kernel's crash on, if there was one, kCrashLines at most: its
  // first lines say what happened, the last ones rarely do.
  [[nodiscard]] std::string crash_or_tail(std::size_t lines) const;

 private:
  void write_file(std::string_view bytes);
  void write_users_file(std::string_view bytes);
  [[nodiscard]] std::vector<std::string> shown_lines() const;

  mutable std::mutex mutex_;
  std::string kept_;
  UniqueFd file_;
  std::size_t file_size_ = 0;
  const bool echo_;
  UniqueFd users_file_;
  std::size_t users_file_size_ = 0;
};

}  // namespace glassbox::cli
