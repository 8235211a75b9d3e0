#include "vmm/base/lab.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace glassbox {
namespace {

namespace fs = std::filesystem;

Result<fs::path> find_tool(const fs::path& self) {
  if (const char* named = std::getenv("GLASSBOX_IN_LAB_TOOL"); named != nullptr && *named != '\0') {
    if (::access(named, X_OK) != 0) return fail_errno(errno, "GLASSBOX_IN_LAB_TOOL names {}", named);
    return fs::path(named);
  }
  // <checkout>/build/<program>: the tool is the checkout's.
  const fs::path tool = self.parent_path().parent_path() / "tools" / "in-lab";
  if (::access(tool.c_str(), X_OK) != 0) {
    return fail("there is no lab to carry on in: {} is missing (GLASSBOX_IN_LAB_TOOL may name it)",
                tool.string());
  }
  return tool;
}

}  // namespace

bool in_lab() {
  const char* value = std::getenv("GLASSBOX_IN_LAB");
  return value != nullptr && std::string_view(value) == "1";
}

Error carry_on_in_lab(int argc, char** argv, std::string_view reason) {
  if (in_lab()) return Error{fmt::format("{}, and this is the lab already", reason), 0};
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (error)
    return Error{fmt::format("{}; cannot read /proc/self/exe: {}", reason, error.message()), error.value()};
  const Result<fs::path> tool = find_tool(self);
  if (!tool) return Error{fmt::format("{}; {}", reason, tool.error().message), tool.error().code};

  std::string tool_text = tool->string();
  std::string self_text = self.string();
  std::vector<char*> args = {tool_text.data(), self_text.data()};
  for (int i = 1; i < argc; ++i)
    args.push_back(argv[i]);
  args.push_back(nullptr);
  std::fprintf(stderr, "%s: %.*s: carrying on inside the lab\n", self.filename().c_str(),
               static_cast<int>(reason.size()), reason.data());
  std::fflush(stderr);
  ::execv(tool_text.c_str(), args.data());
  return Error{fmt::format("cannot run {}: {}", tool_text, std::strerror(errno)), errno};
}

}  // namespace glassbox
