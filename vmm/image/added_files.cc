#include "vmm/image/added_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "vmm/image/cpio_writer.h"

namespace glassbox {
namespace {

namespace fs = std::filesystem;

class Packer {
 public:
  Packer(CpioWriter writer, const ImageContents& image) : writer_(std::move(writer)), image_(image) {}

  Status add(const AddedPath& path) {
    struct stat info {};
    if (::stat(path.host.c_str(), &info) < 0) return fail_errno(errno, "--add {}", path.host);
    const std::size_t slash = path.guest.rfind('/');
    GB_ASSIGN(const std::string parent, folder_of_image(path.guest.substr(0, slash)));
    return add_one(path.host, below(parent, path.guest.substr(slash + 1)), info);
  }
  Result<std::vector<char>> finish() { return writer_.finish(); }

 private:
  static std::string below(const std::string& folder, const std::string& name) {
    return folder.empty() ? name : folder + "/" + name;
  }

  // Where the folder is in the guest, links of the image followed. Adds it and its parents unless the image
  // has them: what is there keeps its mode and owner.
  Result<std::string> folder_of_image(const std::string& guest) {
    const std::string place = image_.resolve(guest);
    writer_.set_owner({});
    for (std::size_t at = place.find('/'); !place.empty(); at = place.find('/', at + 1)) {
      const std::string parent = place.substr(0, at);
      if (!image_.folders.contains(parent) && directories_.insert(parent).second)
        GB_TRY(writer_.add_directory(parent, parent == "tmp" ? 01777 : 0755));
      if (at == std::string::npos) break;
    }
    return place;
  }

  // `guest` is relative to the guest's root; empty: the root itself.
  Status add_one(const std::string& host, const std::string& guest, const struct stat& info) {
    if (S_ISDIR(info.st_mode)) return add_folder(host, guest, info);
    writer_.set_owner({info.st_uid, info.st_gid});
    if (S_ISREG(info.st_mode)) return add_file(host, guest, info);
    if (S_ISLNK(info.st_mode)) {
      std::error_code error;
      const fs::path target = fs::read_symlink(host, error);
      if (error) return fail("--add {}: {}", host, error.message());
      return writer_.add_symlink(guest, target.string());
    }
    if (S_ISSOCK(info.st_mode)) return {};  // as tar: it is nothing without the process that made it
    return writer_.add_node(guest, info.st_mode, S_ISFIFO(info.st_mode) ? 0 : info.st_rdev);
  }

  Status add_file(const std::string& host, const std::string& guest, const struct stat& info) {
    if (info.st_nlink < 2) return writer_.add_file_from(guest, info.st_mode, host);
    const auto known = linked_.find({info.st_dev, info.st_ino});
    if (known != linked_.end()) return writer_.add_hard_link(guest, info.st_mode, known->second);
    GB_ASSIGN(const long number, writer_.add_linked_file(guest, info.st_mode, host));
    linked_[{info.st_dev, info.st_ino}] = number;
    return {};
  }

  Status add_folder(const std::string& host, const std::string& wanted, const struct stat& info) {
    const std::string guest = image_.resolve(wanted);
    writer_.set_owner({info.st_uid, info.st_gid});
    if (!guest.empty() && guest == wanted && directories_.insert(guest).second)
      GB_TRY(writer_.add_directory(guest, info.st_mode));
    std::error_code error;
    std::vector<std::string> names;
    for (fs::directory_iterator it(host, error), end; !error && it != end; it.increment(error)) {
      names.push_back(it->path().filename().string());
    }
    if (error) return fail("--add {}: {}", host, error.message());
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      const std::string from = host + "/" + name;
      struct stat entry {};
      if (::lstat(from.c_str(), &entry) < 0) return fail_errno(errno, "--add {}", from);
      GB_TRY(add_one(from, below(guest, name), entry));
    }
    return {};
  }

  CpioWriter writer_;
  const ImageContents& image_;
  std::set<std::string> directories_;
  std::map<std::pair<dev_t, ino_t>, long> linked_;  // host files with several names, and their number
};

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

Result<std::vector<char>> pack_added_files(std::span<const AddedPath> paths, const ImageContents& image) {
  if (paths.empty()) return std::vector<char>();
  GB_ASSIGN(CpioWriter writer, CpioWriter::create());
  Packer packer(std::move(writer), image);
  for (const AddedPath& path : paths)
    GB_TRY(packer.add(path));
  return packer.finish();
}

}  // namespace glassbox
