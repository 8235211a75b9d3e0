// The kernel modules of a guest's image: those that the virtual hardware needs, with all that they depend on.
// They go where modprobe looks for them; /etc/glassbox/modules lists them, dependencies first, for the agent.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vmm/image/cpio_writer.h"

namespace glassbox {

// The paths of the modules, dependencies first, relative to `dir`, which is lib/modules/RELEASE of a kernel
// and has modules.dep in it. A module that the kernel has built in has no file and is left out.
[[nodiscard]] Result<std::vector<std::string>> module_order(const std::string& dir);

// Adds the modules of `dir` under their names without compression, their folders, modules.dep and the list.
[[nodiscard]] Status add_modules(CpioWriter& image, const std::string& dir, const std::string& release);

// The archive of add_modules() alone, to be put behind an image.
[[nodiscard]] Result<std::vector<char>> pack_modules(const std::string& dir, const std::string& release);

// The folder with that kernel's modules: next to the kernel as guest/kernel-fetch and Debian's packages lay
// them out, or installed on this machine.
[[nodiscard]] std::optional<std::filesystem::path> find_modules(const std::filesystem::path& kernel,
                                                                const std::string& release);

}  // namespace glassbox
