#include "tools/bench/stacks/carrier.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;

// 0 where the process is gone.
pid_t parent_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream rest(text.substr(name_end + 1));
  char state = 0;
  pid_t parent = 0;
  rest >> state >> parent;
  return parent;
}

std::set<pid_t> family(pid_t root) {
  std::set<pid_t> members;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const pid_t pid = std::stoi(name);
    for (pid_t at = pid; at > 1; at = parent_of(at)) {
      if (at == root) {
        members.insert(pid);
        break;
      }
    }
  }
  return members;
}

bool holds(pid_t pid, const std::string& interface) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/fdinfo", pid), error)) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string key;
      std::string value;
      words >> key >> value;
      if (key == "iff:" && value == interface) return true;
    }
  }
  return false;
}

}  // namespace

Result<Carrier> find_carrier(pid_t root, const std::string& interface, const std::string& expected) {
  for (const pid_t pid : family(root)) {
    if (!holds(pid, interface)) continue;
    std::error_code error;
    const fs::path program = fs::read_symlink(fmt::format("/proc/{}/exe", pid), error);
    if (error) return fail("cannot tell the program of process {}: {}", pid, error.message());
    const std::string name = program.filename();
    if (name.rfind(expected, 0) != 0) {
      return fail("{} (process {}) carries the packets, not {}", program.string(), pid, expected);
    }
    return Carrier{pid, program.string()};
  }
  return fail("no process of it holds the interface {} (seen as this user)", interface);
}

}  // namespace glassbox::bench
