// Where the programs of the same build are: beside this one.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "vmm/base/result.h"

namespace glassbox::bench {

[[nodiscard]] std::filesystem::path program_dir();
// Path of a sibling program; it may not exist.
[[nodiscard]] std::string program(std::string_view name);

// A directory for one run's files, gone with it.
class TempDir {
 public:
  [[nodiscard]] static Result<TempDir> create();
  TempDir(TempDir&& other) noexcept : path_(std::move(other.path_)) { other.path_.clear(); }
  TempDir& operator=(TempDir&&) = delete;
  ~TempDir();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string file(std::string_view name) const { return path_ / name; }

 private:
  explicit TempDir(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace glassbox::bench
