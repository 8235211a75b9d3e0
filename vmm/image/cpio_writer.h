// Writes a cpio archive in the "newc" form, which is what the kernel unpacks as an initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst).
//
// The bytes depend on the content only: times are 0, the owner is root, inode numbers count up. Names are
// relative to the guest's root. The caller must add a directory before the files in it: the kernel takes
// entries in order and drops those whose directory is missing.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/result.h"

struct archive;

namespace glassbox {

class CpioWriter {
 public:
  [[nodiscard]] static Result<CpioWriter> create();

  [[nodiscard]] Status add_directory(std::string_view name, mode_t mode);
  [[nodiscard]] Status add_file(std::string_view name, mode_t mode, std::string_view content);
  // Streams a file of this machine in.
  [[nodiscard]] Status add_file_from(std::string_view name, mode_t mode, const std::string& host_path);
  [[nodiscard]] Status add_symlink(std::string_view name, std::string_view target);
  [[nodiscard]] Status add_char_device(std::string_view name, mode_t mode, unsigned major, unsigned minor);

  // Ends the archive and returns it. Its size is a multiple of 4, so that another may follow it.
  [[nodiscard]] Result<std::vector<char>> finish();

 private:
  struct Free {
    void operator()(archive* a) const;
  };
  CpioWriter() = default;
  Status header(std::string_view name, mode_t mode, std::uint64_t size, std::string_view link, dev_t device);
  Status data(std::string_view bytes);

  std::unique_ptr<std::vector<char>> bytes_ = std::make_unique<std::vector<char>>();
  std::unique_ptr<archive, Free> archive_;
  long next_inode_ = 1;
};

}  // namespace glassbox
