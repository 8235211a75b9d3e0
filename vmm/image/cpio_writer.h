// Writes a cpio archive in the "newc" form, which is what the kernel unpacks as an initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst).
//
// The bytes depend on the content only: times are 0, inode numbers count up. Names are
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

struct CpioOwner {
  uid_t user = 0;
  gid_t group = 0;
};

class CpioWriter {
 public:
  [[nodiscard]] static Result<CpioWriter> create();

  // Of what is added from now on; root at first.
  void set_owner(CpioOwner owner) { owner_ = owner; }

  [[nodiscard]] Status add_directory(std::string_view name, mode_t mode);
  [[nodiscard]] Status add_file(std::string_view name, mode_t mode, std::string_view content);
  // Streams a file of this machine in.
  [[nodiscard]] Status add_file_from(std::string_view name, mode_t mode, const std::string& host_path);
  // As add_file_from(), for a file that add_hard_link() may give more names; returns its number.
  [[nodiscard]] Result<long> add_linked_file(std::string_view name, mode_t mode,
                                             const std::string& host_path);
  [[nodiscard]] Status add_hard_link(std::string_view name, mode_t mode, long file);
  [[nodiscard]] Status add_symlink(std::string_view name, std::string_view target);
  // A FIFO (device 0), or a character or block device, with its type in the mode.
  [[nodiscard]] Status add_node(std::string_view name, mode_t mode, dev_t device);
  [[nodiscard]] Status add_char_device(std::string_view name, mode_t mode, unsigned major, unsigned minor);

  // Ends the archive and returns it. Its size is a multiple of 4, so that another may follow it.
  [[nodiscard]] Result<std::vector<char>> finish();

 private:
  struct Free {
    void operator()(archive* a) const;
  };
  CpioWriter() = default;
  struct Link {
    long inode = 0;      // 0: the next one
    unsigned count = 1;  // from 2 on the kernel looks for other names of the inode
  };
  Status header(std::string_view name, mode_t mode, std::uint64_t size, std::string_view target, dev_t device,
                Link link);
  Status header(std::string_view name, mode_t mode, std::uint64_t size, std::string_view target,
                dev_t device) {
    return header(name, mode, size, target, device, Link());
  }
  Status file_from(std::string_view name, mode_t mode, const std::string& host_path, Link link);
  Status data(std::string_view bytes);

  std::unique_ptr<std::vector<char>> bytes_ = std::make_unique<std::vector<char>>();
  std::unique_ptr<archive, Free> archive_;
  long next_inode_ = 1;
  CpioOwner owner_;
};

}  // namespace glassbox
