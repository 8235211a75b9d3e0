// The guest's serial console while a command has the terminal: its last bytes are kept, to be shown when the
// guest fails, and written to a file in the runtime directory. With `echo` they go to stderr as well.
//
// The guest writes as much as it likes: memory and file are bounded, and what is shown has no control
// characters. Thread: write() on the console's, the rest on any.
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

  // The file is a convenience: without it the log works all the same.
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
