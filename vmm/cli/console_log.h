// The guest's serial console while a command uses the terminal: its last bytes are kept, to be shown if the
// guest fails, and written to a file in the runtime directory. With `echo` they go to stderr as well.
//
// The guest may write without limit: memory and file are bounded, and the shown text has no control
// characters.
//
// Thread: write() on the console's thread, the rest on any.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>
#include <string>

#include "vmm/base/unique_fd.h"

namespace glassbox::cli {

class ConsoleLog {
 public:
  static constexpr std::size_t kKeepBytes = 64 * 1024;
  static constexpr std::size_t kFileBytes = 1024 * 1024;

  // The file is optional: if it cannot be opened, the log works without it.
  ConsoleLog(const std::filesystem::path& file, bool echo);

  void write(std::span<const std::uint8_t> bytes);
  // The last lines, each indented by two spaces and ended; empty if the console was silent.
  [[nodiscard]] std::string tail(std::size_t lines) const;

 private:
  void write_file(std::string_view bytes);

  mutable std::mutex mutex_;
  std::string kept_;
  UniqueFd file_;
  std::size_t file_size_ = 0;
  const bool echo_;
};

}  // namespace glassbox::cli
