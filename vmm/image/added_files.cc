#include "vmm/image/added_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "vmm/base/unique_fd.h"
#include "vmm/image/cpio_writer.h"

namespace glassbox {
namespace {

namespace fs = std::filesystem;

class Packer {
 public:
  explicit Packer(CpioWriter writer) : writer_(std::move(writer)) {}

  Status add(const AddedPath& path) {
    struct stat info {};
    if (::stat(path.host.c_str(), &info) < 0) return fail_errno(errno, "--add {}", path.host);
    GB_TRY(add_parents(path.guest));
    return add_one(path.host, path.guest, info);
  }
  Result<std::vector<char>> finish() { return writer_.finish(); }

 private:
  // Mode 0755 also where the image has the directory already; the kernel then keeps what is in it.
  Status add_parents(const std::string& guest) {
    for (std::size_t at = guest.find('/', 1); at != std::string::npos; at = guest.find('/', at + 1)) {
      const std::string parent = guest.substr(0, at);
      if (directories_.insert(parent).second)
        GB_TRY(writer_.add_directory(parent, parent == "/tmp" ? 01777 : 0755));
    }
    return {};
  }

  Status add_one(const std::string& host, const std::string& guest, const struct stat& info) {
    if (S_ISREG(info.st_mode)) return writer_.add_file_from(guest, info.st_mode, host);
    if (S_ISDIR(info.st_mode)) return add_folder(host, guest, info.st_mode);
    if (S_ISLNK(info.st_mode)) {
      std::error_code error;
      const fs::path target = fs::read_symlink(host, error);
      if (error) return fail("--add {}: {}", host, error.message());
      return writer_.add_symlink(guest, target.string());
    }
    return fail("--add {}: only files, folders and symbolic links can be added", host);
  }

  Status add_folder(const std::string& host, const std::string& guest, mode_t mode) {
    if (guest != "/" && directories_.insert(guest).second) GB_TRY(writer_.add_directory(guest, mode));
    std::error_code error;
    std::vector<std::string> names;
    for (fs::directory_iterator it(host, error), end; !error && it != end; it.increment(error)) {
      names.push_back(it->path().filename().string());
    }
    if (error) return fail("--add {}: {}", host, error.message());
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      const std::string from = host + "/" + name;
      struct stat info {};
      if (::lstat(from.c_str(), &info) < 0) return fail_errno(errno, "--add {}", from);
      GB_TRY(add_one(from, (guest == "/" ? "" : guest) + "/" + name, info));
    }
    return {};
  }

  CpioWriter writer_;
  std::set<std::string> directories_;
};

Result<std::vector<char>> read_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "cannot read the initrd {}", path);
  struct stat info {};
  if (::fstat(fd.get(), &info) < 0 || !S_ISREG(info.st_mode))
    return fail("the initrd {} is not a file", path);
  std::vector<char> bytes(static_cast<std::size_t>(info.st_size));
  for (std::size_t have = 0; have < bytes.size();) {
    const ssize_t got = ::read(fd.get(), bytes.data() + have, bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "cannot read the initrd {}", path);
    if (got == 0) return fail("the initrd {} became shorter while it was read", path);
    have += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace

Result<AddedPath> parse_added_path(std::string_view argument) {
  const std::size_t colon = argument.rfind(":/");
  const bool has_guest = colon != std::string_view::npos && colon > 0;
  AddedPath path{std::string(argument.substr(0, has_guest ? colon : argument.size())),
                 has_guest ? std::string(argument.substr(colon + 1)) : "/"};
  if (path.host.empty()) return fail("--add needs HOSTPATH[:GUESTPATH]");
  std::error_code error;
  const fs::path absolute = fs::absolute(path.host, error).lexically_normal();
  const fs::path name = absolute.has_filename() ? absolute.filename() : absolute.parent_path().filename();
  if (!has_guest && name.empty())
    return fail("--add {}: add its place in the guest (HOSTPATH:GUESTPATH)", path.host);
  // "HOST:/" puts a folder's content into the guest's root, but a file into it under its own name.
  const bool into_root = has_guest && path.guest == "/" && fs::is_directory(path.host, error);
  if (path.guest.ends_with('/') && !into_root) path.guest += name.string();
  path.guest = fs::path(path.guest).lexically_normal().string();
  return path;
}

Result<std::vector<char>> pack_added_files(std::span<const AddedPath> paths) {
  if (paths.empty()) return std::vector<char>();
  GB_ASSIGN(CpioWriter writer, CpioWriter::create());
  Packer packer(std::move(writer));
  for (const AddedPath& path : paths)
    GB_TRY(packer.add(path));
  return packer.finish();
}

Result<std::vector<char>> load_initrd(const std::string& initrd_path, std::span<const AddedPath> paths) {
  GB_ASSIGN(std::vector<char> bytes, read_file(initrd_path));
  GB_ASSIGN(const std::vector<char> segment, pack_added_files(paths));
  if (segment.empty()) return bytes;
  bytes.resize((bytes.size() + 3) / 4 * 4, '\0');
  bytes.insert(bytes.end(), segment.begin(), segment.end());
  return bytes;
}

}  // namespace glassbox
