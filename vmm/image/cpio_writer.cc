#include "vmm/image/cpio_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "vmm/base/unique_fd.h"

namespace glassbox {
namespace {

constexpr std::string_view kTrailer = "TRAILER!!!";
constexpr std::size_t kMaxName = 4000;

}  // namespace

void CpioWriter::align() {
  bytes_.resize((bytes_.size() + 3) / 4 * 4, '\0');
}

void CpioWriter::append(std::string_view bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

void CpioWriter::header(std::string_view name, unsigned inode, mode_t mode, std::uint64_t size,
                        dev_t device) {
  align();  // of the file before
  // Inode, mode, owner, group, links, time, size, device, the device that it is, length of the name with its
  // NUL, a checksum that only another form of the format has.
  append(fmt::format("070701{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
                     inode, mode, 0, 0, 1, 0, size, 0, 0, major(device), minor(device), name.size() + 1, 0));
  append(name);
  bytes_.push_back('\0');
  align();
}

Status CpioWriter::entry(std::string_view name, mode_t mode, std::uint64_t size, dev_t device) {
  while (name.starts_with('/'))
    name.remove_prefix(1);
  if (name.empty() || name.size() > kMaxName) return fail("{} is no name for a file in the guest", name);
  header(name, next_inode_++, mode, size, device);
  return {};
}

Status CpioWriter::add_directory(std::string_view name, mode_t mode) {
  return entry(name, S_IFDIR | (mode & 07777), 0, 0);
}

Status CpioWriter::add_file(std::string_view name, mode_t mode, std::string_view content) {
  GB_TRY(entry(name, S_IFREG | (mode & 07777), content.size(), 0));
  append(content);
  return {};
}

Status CpioWriter::add_file_from(std::string_view name, mode_t mode, const std::string& host_path) {
  const UniqueFd fd(::open(host_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "cannot read {}", host_path);
  struct stat info {};
  if (::fstat(fd.get(), &info) < 0) return fail_errno(errno, "cannot read {}", host_path);
  if (!S_ISREG(info.st_mode)) return fail("{} is not a regular file", host_path);
  if (info.st_size > 0xffffffffLL)
    return fail("{} is larger than 4 GiB, the limit of an initramfs", host_path);
  GB_TRY(entry(name, S_IFREG | (mode & 07777), static_cast<std::uint64_t>(info.st_size), 0));
  std::array<char, 128 * 1024> buffer;
  for (off_t rest = info.st_size; rest > 0;) {
    const auto want = static_cast<std::size_t>(std::min<off_t>(rest, static_cast<off_t>(buffer.size())));
    const ssize_t got = ::read(fd.get(), buffer.data(), want);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "cannot read {}", host_path);
    if (got == 0) return fail("{} became shorter while it was read", host_path);
    append({buffer.data(), static_cast<std::size_t>(got)});
    rest -= got;
  }
  return {};
}

Status CpioWriter::add_symlink(std::string_view name, std::string_view target) {
  GB_TRY(entry(name, S_IFLNK | 0777, target.size(), 0));
  append(target);
  return {};
}

Status CpioWriter::add_char_device(std::string_view name, mode_t mode, unsigned major, unsigned minor) {
  return entry(name, S_IFCHR | (mode & 07777), 0, makedev(major, minor));
}

std::vector<char> CpioWriter::finish() {
  header(kTrailer, 0, 0, 0, 0);
  return std::move(bytes_);
}

}  // namespace glassbox
