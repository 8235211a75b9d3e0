#include "tools/bench/process/lab_run.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "tools/bench/process/paths.h"
#include "tools/bench/report/output.h"
#include "vmm/base/lab.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;

struct Staged {
  fs::path inside, wanted;
};

volatile std::sig_atomic_t child_pid = 0;

// The terminal's Ctrl-C (from the kernel) reaches the child as well; what a process sent to us alone is
// passed on.
void forward(int number, siginfo_t* info, void*) {
  if (child_pid > 0 && info->si_code <= 0) ::kill(static_cast<pid_t>(child_pid), number);
}

void forward_signals(pid_t pid) {
  child_pid = pid;
  struct sigaction action {};
  action.sa_sigaction = forward;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  for (const int number : {SIGINT, SIGTERM, SIGHUP})
    ::sigaction(number, &action, nullptr);
}

std::vector<fs::path> shared_directories() {
  // <checkout>/build/<program>, as vmm/base/lab.h has it.
  std::vector<fs::path> shared{program_dir().parent_path()};
  if (const char* more = std::getenv("GLASSBOX_LAB_SHARES")) {
    std::istringstream list{more};
    std::string dir;
    while (std::getline(list, dir, ':')) {
      if (!dir.empty()) shared.emplace_back(dir);
    }
  }
  return shared;
}

int wait_for(pid_t pid) {
  int raw = 0;
  while (::waitpid(pid, &raw, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
}

Status move_file(const Staged& file) {
  std::error_code error;
  if (!fs::exists(file.inside, error)) return {};
  return keep_file(file.inside, file.wanted);
}

}  // namespace

bool survives_lab(const fs::path& path, const std::vector<fs::path>& shared) {
  const fs::path full = fs::absolute(path).lexically_normal();
  return std::any_of(shared.begin(), shared.end(), [&](const fs::path& dir) {
    const fs::path relative = full.lexically_relative(dir.lexically_normal());
    return !relative.empty() && *relative.begin() != "..";
  });
}

Result<int> run_in_lab_with_files(int argc, char** argv, std::string_view reason,
                                  const std::vector<OutputFile>& outputs) {
  const auto shared = shared_directories();
  std::vector<std::string> words(argv, argv + argc);
  std::vector<Staged> staged;
  std::string dir = program_dir() / "bench-out-XXXXXX";
  for (const OutputFile& output : outputs) {
    if (output.path.empty() || output.path == "-" || survives_lab(output.path, shared)) continue;
    if (staged.empty() && ::mkdtemp(dir.data()) == nullptr) return fail_errno(errno, "cannot make {}", dir);
    staged.push_back({fs::path(dir) / fmt::format("{}", staged.size()), fs::absolute(output.path)});
    words.insert(words.end(), {output.option, staged.back().inside.string()});
  }
  if (staged.empty()) return tl::unexpected<Error>(carry_on_in_lab(argc, argv, reason));

  std::vector<char*> args;
  for (std::string& word : words)
    args.push_back(word.data());
  args.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) {
    const Error error = carry_on_in_lab(static_cast<int>(words.size()), args.data(), reason);
    fmt::print(stderr, "glassbox-bench: error: {}\n", error.message);
    std::_Exit(1);
  }
  forward_signals(pid);
  const int status = wait_for(pid);
  Status moved;
  for (const Staged& file : staged) {
    if (auto one = move_file(file); !one && moved) moved = one;
  }
  std::error_code ignored;
  fs::remove_all(dir, ignored);
  GB_TRY(moved);
  return status;
}

}  // namespace glassbox::bench
