#include "tools/bench/process/paths.h"

#include <cstdlib>

namespace glassbox::bench {

std::filesystem::path program_dir() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::path(".") : self.parent_path();
}

std::string program(std::string_view name) {
  return program_dir() / name;
}

Result<TempDir> TempDir::create() {
  std::error_code error;
  std::string name = std::filesystem::temp_directory_path(error) / "glassbox-bench-XXXXXX";
  if (error || ::mkdtemp(name.data()) == nullptr)
    return fail_errno(errno, "cannot make a directory for temporary files");
  return TempDir(name);
}

TempDir::~TempDir() {
  if (path_.empty()) return;
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

}  // namespace glassbox::bench
