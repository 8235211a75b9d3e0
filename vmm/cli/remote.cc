#include "vmm/cli/remote.h"

#include <array>
#include <cstdio>
#include <filesystem>

#include "vmm/base/lab.h"

namespace glassbox::cli {

Result<RunningVm> find_vm_or_carry_on(std::string_view name, int argc, char** argv) {
  auto vm = find_running_vm(name);
  if (vm || in_lab() || !lab_is_running()) return vm;
  return tl::unexpected(carry_on_in_lab(argc, argv, {}));
}

std::string list_in_lab() {
  if (in_lab() || !lab_is_running()) return {};
  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error).string();
  const auto tool = lab_tool();
  if (error || !tool) return {};
  std::FILE* pipe = ::popen(fmt::format("'{}' '{}' ls --json </dev/null", tool->string(), self).c_str(), "r");
  if (pipe == nullptr) return {};
  std::string text;
  std::array<char, 4096> bytes;
  while (const std::size_t n = std::fread(bytes.data(), 1, bytes.size(), pipe))
    text.append(bytes.data(), n);
  return ::pclose(pipe) == 0 ? text : std::string();
}

}  // namespace glassbox::cli
