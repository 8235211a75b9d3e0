#include "tools/trace/record/lab_target.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "vmm/base/lab.h"

namespace glassbox::trace {
namespace {

namespace fs = std::filesystem;

// This program is <checkout>/build/<program>, as vmm/base/lab.cc assumes too.
fs::path checkout() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path().parent_path();
}

}  // namespace

bool lab_runs() {
  if (in_lab()) return false;
  const char* named = std::getenv("GLASSBOX_IN_LAB_TOOL");
  std::string tool = named != nullptr ? named : (checkout() / "tools" / "in-lab").string();
  if (::access(tool.c_str(), X_OK) != 0) return false;
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  for (const int fd : {0, 1, 2})
    posix_spawn_file_actions_addopen(&quiet, fd, "/dev/null", O_RDWR, 0);
  std::string status = "--status";
  char* argv[] = {tool.data(), status.data(), nullptr};
  pid_t pid = 0;
  int result = 1;
  if (::posix_spawn(&pid, tool.c_str(), &quiet, nullptr, argv, environ) == 0)
    while (::waitpid(pid, &result, 0) < 0 && errno == EINTR) {
    }
  posix_spawn_file_actions_destroy(&quiet);
  return result == 0;
}

Error record_in_lab(int argc, char** argv, const fs::path& output, std::string_view reason) {
  if (output.empty()) return carry_on_in_lab(argc, argv, reason);
  const fs::path inside = fs::absolute(output).lexically_normal().lexically_relative(checkout());
  if (inside.empty() || *inside.begin() == "..")
    return Error{fmt::format("{}; it may run in the lab, but {} would be lost there: name a file in {}",
                             reason, output.string(), checkout().string()),
                 0};
  return carry_on_in_lab(argc, argv, reason);
}

}  // namespace glassbox::trace
