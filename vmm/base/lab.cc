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

Result<fs::path> self_path() {
  std::error_code error;
  fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (error) return fail("cannot read /proc/self/exe: {}", error.message());
  return self;
}

}  // namespace

bool in_lab() {
  const char* value = std::getenv("GLASSBOX_IN_LAB");
  return value != nullptr && std::string_view(value) == "1";
}

Result<fs::path> lab_tool() {
  if (const char* named = std::getenv("GLASSBOX_IN_LAB_TOOL"); named != nullptr && *named != '\0') {
    if (::access(named, X_OK) != 0) return fail_errno(errno, "GLASSBOX_IN_LAB_TOOL names {}", named);
    return fs::path(named);
  }
  GB_ASSIGN(const fs::path self, self_path());
  // This program is <checkout>/build/<program>.
  const fs::path tool = self.parent_path().parent_path() / "tools" / "in-lab";
  if (::access(tool.c_str(), X_OK) != 0) {
    return fail("cannot carry on in the lab: {} is missing (GLASSBOX_IN_LAB_TOOL can name it)",
                tool.string());
  }
  return tool;
}

bool lab_is_running() {
  const Result<fs::path> tool = lab_tool();
  if (!tool) return false;
  const std::string command = "'" + tool->string() + "' --status >/dev/null 2>&1";
  return std::system(command.c_str()) == 0;
}

Error carry_on_in_lab(int argc, char** argv, std::string_view reason) {
  if (in_lab()) return Error{fmt::format("{}, and this is the lab already", reason), 0};
  const Result<fs::path> self = self_path();
  if (!self) return Error{fmt::format("{}; {}", reason, self.error().message), 0};
  const Result<fs::path> tool = lab_tool();
  if (!tool) return Error{fmt::format("{}; {}", reason, tool.error().message), tool.error().code};

  std::string tool_text = tool->string();
  std::string self_text = self->string();
  std::vector<char*> args = {tool_text.data(), self_text.data()};
  for (int i = 1; i < argc; ++i)
    args.push_back(argv[i]);
  args.push_back(nullptr);
  if (!reason.empty()) {
    std::fprintf(stderr, "%s: %.*s: carrying on inside the lab\n", self->filename().c_str(),
                 static_cast<int>(reason.size()), reason.data());
  }
  std::fflush(stderr);
  ::execv(tool_text.c_str(), args.data());
  return Error{fmt::format("cannot run {}: {}", tool_text, std::strerror(errno)), errno};
}

}  // namespace glassbox
