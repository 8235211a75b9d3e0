#include "tools/bench/probes/instruction_count.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace glassbox::bench {
namespace {

// Its own output is thrown away: what it says goes to the file.
Status run_quietly(std::vector<std::string> command) {
  std::vector<char*> argv;
  for (std::string& word : command)
    argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail_errno(error, "cannot run {}", command[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return fail("{} failed", command.back());
  return {};
}

}  // namespace

InstructionCount parse_callgrind(std::istream& in) {
  InstructionCount count;
  std::string function;
  bool of_a_call = false;  // the line after "calls=" is the callee's, counted there
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("fn=")) {
      function = line.substr(3);
    } else if (line.starts_with("calls=")) {
      of_a_call = true;
    } else if (line.starts_with("0x")) {
      std::istringstream words(line);
      std::uint64_t address = 0, cost = 0;
      std::string source_line;
      words >> std::hex >> address >> source_line >> std::dec >> cost;
      if (!std::exchange(of_a_call, false)) {
        count.total += cost;
        count.at[address] += cost;
        count.functions[function] += cost;
      }
    }
  }
  return count;
}

Result<InstructionCount> count_instructions(const std::vector<std::string>& command,
                                            const std::string& function) {
  std::string file = (std::filesystem::temp_directory_path() / "glassbox-callgrind.XXXXXX").string();
  const int fd = ::mkstemp(file.data());
  if (fd < 0) return fail_errno(errno, "cannot make a temporary file");
  ::close(fd);
  std::vector<std::string> line = {"valgrind",
                                   "--tool=callgrind",
                                   "--dump-instr=yes",
                                   "--compress-strings=no",
                                   "--compress-pos=no",
                                   "--collect-atstart=no",
                                   "--toggle-collect=" + function,
                                   "--callgrind-out-file=" + file};
  line.insert(line.end(), command.begin(), command.end());
  const Status ran = run_quietly(line);
  std::ifstream in(file);
  InstructionCount count = parse_callgrind(in);
  std::filesystem::remove(file);
  if (!ran) return tl::unexpected(ran.error());
  if (count.total == 0) return fail("valgrind counted nothing in {}", command[0]);
  return count;
}

}  // namespace glassbox::bench
