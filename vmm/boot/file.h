// A file that the user named: kernel or initrd. Error messages carry its role and name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::boot {

class InputFile {
 public:
  [[nodiscard]] static Result<InputFile> open(const std::filesystem::path& path, const char* what);
  [[nodiscard]] std::uint64_t size() const { return size_; }
  // Fills target with the bytes from offset on. The range must lie within the file's size.
  [[nodiscard]] Status read_at(std::uint64_t offset, std::span<std::byte> target) const;

 private:
  InputFile(std::filesystem::path path, const char* what, UniqueFd fd, std::uint64_t size)
      : path_(std::move(path)), what_(what), fd_(std::move(fd)), size_(size) {}
  std::filesystem::path path_;
  const char* what_;
  UniqueFd fd_;
  std::uint64_t size_;
};

}  // namespace glassbox::boot
