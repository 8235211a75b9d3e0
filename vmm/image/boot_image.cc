#include "vmm/image/boot_image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <optional>

#include "vmm/base/io.h"
#include "vmm/image/kernel_modules.h"
#include "vmm/image/kernel_release.h"

namespace glassbox {
namespace {

// Modules that the image lacks.
struct MissingModules {
  std::string release;
  std::optional<std::filesystem::path> folder;  // where they are on this machine
};

// An image without a list of modules has its own way to load them: nothing is missing.
std::optional<MissingModules> missing_modules(const BootImageSpec& spec, const ImageContents& contents) {
  if (!contents.lists_modules) return std::nullopt;
  const std::string release = kernel_release(spec.kernel);
  if (release.empty() || contents.module_releases.contains(release)) return std::nullopt;
  return MissingModules{release, find_modules(spec.kernel, release)};
}

Status check_memory(const BootImageSpec& spec, const ImageContents& contents) {
  if (memory_needed_mib(contents) <= spec.memory_mib) return {};
  return fail(
      "the files in the guest's image take {} MiB, and its root gets half of its memory: --memory {} is too "
      "small, use --memory {}",
      (contents.unpacked_bytes >> 20) + 1, spec.memory_mib, memory_enough_mib(contents));
}

Status append_file(int to, const std::string& path, std::uint64_t bytes) {
  const UniqueFd from(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!from) return fail_errno(errno, "cannot read the image {}", path);
  while (bytes > 0) {
    const ssize_t n = ::sendfile(to, from.get(), nullptr, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "cannot copy the image {}", path);
    if (n == 0) return fail("the image {} became shorter while it was read", path);
    bytes -= static_cast<std::uint64_t>(n);
  }
  return {};
}

// Archives begin at a multiple of 4.
Status append_archive(int to, std::uint64_t& size, const std::vector<char>& archive) {
  if (archive.empty()) return {};
  const std::string padding((4 - size % 4) % 4, '\0');
  if (!write_all(to, padding) || !write_all(to, archive.data(), archive.size()))
    return fail_errno(errno, "cannot write the image to its memfd");
  size += padding.size() + archive.size();
  return {};
}

}  // namespace

Result<BootImage> make_boot_image(const BootImageSpec& spec) {
  if (spec.initrd.empty() && spec.added.empty()) return BootImage();
  if (spec.initrd.empty()) return fail("--add needs an initrd to add to");
  GB_ASSIGN(ImageContents contents, inspect_image(spec.initrd));
  const auto missing = missing_modules(spec, contents);
  if (spec.added.empty() && !(missing && missing->folder)) {
    GB_TRY(check_memory(spec, contents));
    return BootImage{spec.initrd, UniqueFd()};
  }
  BootImage image{{}, UniqueFd(::memfd_create("glassbox-initrd", MFD_CLOEXEC))};
  if (!image.copy) return fail_errno(errno, "cannot make a memfd for the image");
  image.path = fmt::format("/proc/self/fd/{}", image.copy.get());
  std::uint64_t size = contents.image_bytes;
  GB_TRY(append_file(image.copy.get(), spec.initrd, size));
  if (missing && missing->folder) {
    GB_ASSIGN(const auto modules, pack_modules(missing->folder->string(), missing->release));
    GB_TRY(append_archive(image.copy.get(), size, modules));
  }
  GB_ASSIGN(const auto added, pack_added_files(spec.added, contents));
  GB_TRY(append_archive(image.copy.get(), size, added));
  GB_ASSIGN(contents, inspect_image(image.path));
  GB_TRY(check_memory(spec, contents));
  return image;
}

std::string kernel_misfit(const BootImageSpec& spec) {
  const auto contents = inspect_image(spec.initrd);
  if (!contents) return {};
  const auto missing = missing_modules(spec, *contents);
  if (!missing || missing->folder) return {};
  std::string has;
  for (const std::string& release : contents->module_releases)
    has += (has.empty() ? "" : ", ") + release;
  return fmt::format(
      "the image {} has modules for {}, not for this kernel, {}: unless it has the drivers built in, the guest "
      "will not come up (guest/kernel-fetch --package NAME --into DIR unpacks a kernel with its modules)",
      spec.initrd, has.empty() ? "no kernel" : has, missing->release);
}

}  // namespace glassbox
