#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "vmm/cli/run.h"
#include "vmm/image/image_check.h"

namespace glassbox::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRemedy = "run tools/demo, or cmake --build build --target guest-image";

// <build>/guest, where guest-image puts kernel and image.
Result<fs::path> guest_directory() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (error) return fail("cannot read /proc/self/exe: {}", error.message());
  return self.parent_path() / "guest";
}

Status check_readable(const std::string& path, const char* what, bool is_default) {
  if (::access(path.c_str(), R_OK) == 0) return {};
  if (is_default && errno == ENOENT) return fail("there is no {} at {}: {}", what, path, kRemedy);
  return fail_errno(errno, "cannot read the {} {}", what, path);
}

// Arguments that no guest of this machine could work with.
Status check_kernel_arguments(const std::string& arguments) {
  std::istringstream words(arguments);
  for (std::string word; words >> word;) {
    if (word == "pci=nomsi" || word == "nomsi" || word == "pci=off")
      return fail("--append {}: the devices here interrupt by MSI-X only, so that no driver works with it",
                  word);
  }
  return {};
}

}  // namespace

Status complete(RunOptions& options) {
  VmSpec& vm = options.vm;
  if (options.detach && !options.command.empty()) {
    return fail("-d takes no command: start the VM with -d, then glassbox exec NAME -- CMD");
  }
  if (options.detach && options.console) return fail("-d and --console cannot be used together");
  const bool own_kernel = !vm.kernel.empty();
  const bool own_initrd = !vm.initrd.empty();
  GB_ASSIGN(const fs::path guest, guest_directory());
  if (!own_kernel) vm.kernel = (guest / "vmlinuz").string();
  if (!own_initrd) vm.initrd = (guest / "initramfs.cpio").string();
  GB_TRY(check_readable(vm.kernel, "kernel", !own_kernel));
  GB_TRY(check_readable(vm.initrd, "image", !own_initrd));
  GB_TRY(check_image(vm.initrd));
  GB_TRY(check_kernel_arguments(vm.append));
  for (const std::string& argument : options.add) {
    GB_ASSIGN(AddedPath path, parse_added_path(argument));
    if (::access(path.host.c_str(), R_OK) != 0) return fail_errno(errno, "--add {}", path.host);
    vm.added.push_back(std::move(path));
  }
  vm.command = options.command;
  vm.console_on_stdio = options.console && options.command.empty();
  vm.echo_console = options.console && !options.command.empty();
  return {};
}

}  // namespace glassbox::cli
