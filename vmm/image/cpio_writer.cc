#include "vmm/image/cpio_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "vmm/base/unique_fd.h"

namespace glassbox {
namespace {

la_ssize_t append(archive* /*archive*/, void* to, const void* bytes, size_t length) {
  const auto* first = static_cast<const char*>(bytes);
  auto* all = static_cast<std::vector<char>*>(to);
  all->insert(all->end(), first, first + length);
  return static_cast<la_ssize_t>(length);
}

}  // namespace

void CpioWriter::Free::operator()(archive* a) const {
  archive_write_free(a);
}

Result<CpioWriter> CpioWriter::create() {
  CpioWriter writer;
  writer.archive_.reset(archive_write_new());
  archive* a = writer.archive_.get();
  if (a == nullptr || archive_write_set_format_cpio_newc(a) != ARCHIVE_OK ||
      archive_write_add_filter_none(a) != ARCHIVE_OK ||
      archive_write_set_bytes_in_last_block(a, 4) != ARCHIVE_OK ||
      archive_write_open(a, writer.bytes_.get(), nullptr, append, nullptr) != ARCHIVE_OK) {
    return fail("cannot make a cpio archive: {}", a != nullptr ? archive_error_string(a) : "out of memory");
  }
  return writer;
}

Status CpioWriter::header(std::string_view name, mode_t mode, std::uint64_t size, std::string_view target,
                          dev_t device, Link link) {
  while (name.starts_with('/'))
    name.remove_prefix(1);
  if (name.empty() || name.size() > 4000)
    return fail("\"{}\" is not a valid file name in the guest: it must have 1 to 4000 bytes", name);
  struct Delete {
    void operator()(archive_entry* e) const { archive_entry_free(e); }
  };
  const std::unique_ptr<archive_entry, Delete> entry(archive_entry_new());
  archive_entry_set_pathname(entry.get(), std::string(name).c_str());
  archive_entry_set_mode(entry.get(), mode);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
  archive_entry_set_mtime(entry.get(), 0, 0);
  archive_entry_set_ino(entry.get(), link.inode != 0 ? link.inode : next_inode_++);
  archive_entry_set_nlink(entry.get(), link.count);
  archive_entry_set_uid(entry.get(), owner_.user);
  archive_entry_set_gid(entry.get(), owner_.group);
  if (!target.empty()) archive_entry_set_symlink(entry.get(), std::string(target).c_str());
  if (device != 0) {
    archive_entry_set_rdevmajor(entry.get(), major(device));
    archive_entry_set_rdevminor(entry.get(), minor(device));
  }
  if (archive_write_header(archive_.get(), entry.get()) != ARCHIVE_OK) {
    return fail("cannot put {} into the image: {}", name, archive_error_string(archive_.get()));
  }
  return {};
}

Status CpioWriter::data(std::string_view bytes) {
  if (archive_write_data(archive_.get(), bytes.data(), bytes.size()) !=
      static_cast<la_ssize_t>(bytes.size())) {
    return fail("cannot write to the image: {}", archive_error_string(archive_.get()));
  }
  return {};
}

Status CpioWriter::add_directory(std::string_view name, mode_t mode) {
  return header(name, S_IFDIR | (mode & 07777), 0, {}, 0);
}

Status CpioWriter::add_file(std::string_view name, mode_t mode, std::string_view content) {
  GB_TRY(header(name, S_IFREG | (mode & 07777), content.size(), {}, 0));
  return data(content);
}

Status CpioWriter::add_file_from(std::string_view name, mode_t mode, const std::string& host_path) {
  return file_from(name, mode, host_path, Link());
}

// The kernel gives a later entry with the same number and more than one name a link to the first
// (init/initramfs.c, maybe_link()). Only the first carries the content.
Result<long> CpioWriter::add_linked_file(std::string_view name, mode_t mode, const std::string& host_path) {
  const long inode = next_inode_++;
  GB_TRY(file_from(name, mode, host_path, {inode, 2}));
  return inode;
}

Status CpioWriter::add_hard_link(std::string_view name, mode_t mode, long file) {
  return header(name, S_IFREG | (mode & 07777), 0, {}, 0, {file, 2});
}

Status CpioWriter::add_node(std::string_view name, mode_t mode, dev_t device) {
  return header(name, mode, 0, {}, device);
}

Status CpioWriter::file_from(std::string_view name, mode_t mode, const std::string& host_path, Link link) {
  const UniqueFd fd(::open(host_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "cannot read {}", host_path);
  struct stat info {};
  if (::fstat(fd.get(), &info) < 0) return fail_errno(errno, "cannot read {}", host_path);
  if (!S_ISREG(info.st_mode)) return fail("{} is not a regular file", host_path);
  if (info.st_size > 0xffffffffLL)
    return fail("{} is larger than 4 GiB, the limit of an initramfs", host_path);
  GB_TRY(header(name, S_IFREG | (mode & 07777), static_cast<std::uint64_t>(info.st_size), {}, 0, link));
  std::array<char, 128 * 1024> buffer;
  for (off_t rest = info.st_size; rest > 0;) {
    const auto want = static_cast<std::size_t>(std::min<off_t>(rest, static_cast<off_t>(buffer.size())));
    const ssize_t got = ::read(fd.get(), buffer.data(), want);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "cannot read {}", host_path);
    if (got == 0) return fail("{} became shorter while it was read", host_path);
    GB_TRY(data({buffer.data(), static_cast<std::size_t>(got)}));
    rest -= got;
  }
  return {};
}

Status CpioWriter::add_symlink(std::string_view name, std::string_view target) {
  return header(name, S_IFLNK | 0777, 0, target, 0);
}

Status CpioWriter::add_char_device(std::string_view name, mode_t mode, unsigned major, unsigned minor) {
  return header(name, S_IFCHR | (mode & 07777), 0, {}, makedev(major, minor));
}

Result<std::vector<char>> CpioWriter::finish() {
  if (archive_write_close(archive_.get()) != ARCHIVE_OK) {
    return fail("cannot end the image: {}", archive_error_string(archive_.get()));
  }
  archive_.reset();
  bytes_->resize((bytes_->size() + 3) / 4 * 4, '\0');
  return std::move(*bytes_);
}

}  // namespace glassbox
