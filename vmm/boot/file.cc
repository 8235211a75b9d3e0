#include "vmm/boot/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace glassbox::boot {

Result<InputFile> InputFile::open(const std::filesystem::path& path, const char* what) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "cannot open {} {}", what, path.string());
  struct stat status = {};
  if (::fstat(fd.get(), &status) != 0) return fail_errno(errno, "cannot read {} {}", what, path.string());
  if (!S_ISREG(status.st_mode)) return fail("{} {} is not a regular file", what, path.string());
  if (status.st_size == 0) return fail("{} {} is empty", what, path.string());
  return InputFile(path, what, std::move(fd), static_cast<std::uint64_t>(status.st_size));
}

Status InputFile::read_at(std::uint64_t offset, std::span<std::byte> target) const {
  while (!target.empty()) {
    const ssize_t got = ::pread(fd_.get(), target.data(), target.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "cannot read {} {}", what_, path_.string());
    if (got == 0) return fail("{} {} became shorter while it was read", what_, path_.string());
    offset += static_cast<std::uint64_t>(got);
    target = target.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

}  // namespace glassbox::boot
