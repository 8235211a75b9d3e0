#include "tests/system/cli/process.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <utility>

namespace glassbox::test {
namespace {

std::string content(const UniqueFd& fd) {
  std::string all;
  std::array<char, 65536> bytes;
  for (ssize_t n = 0;
       (n = ::pread(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(all.size()))) > 0;) {
    all.append(bytes.data(), static_cast<std::size_t>(n));
  }
  return all;
}

}  // namespace

Process Process::start(const std::vector<std::string>& argv, const std::string& stdin_file, bool terminal) {
  Process process;
  process.out_.reset(::memfd_create("out", MFD_CLOEXEC));
  process.err_.reset(::memfd_create("err", MFD_CLOEXEC));
  std::vector<char*> pointers;
  for (const std::string& argument : argv)
    pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  int master = -1;
  process.pid_ = terminal ? ::forkpty(&master, nullptr, nullptr, nullptr) : ::fork();
  if (process.pid_ == 0) {
    if (!terminal) {
      ::dup2(::open(stdin_file.c_str(), O_RDONLY), 0);
      ::dup2(process.out_.get(), 1);
      ::dup2(process.err_.get(), 2);
    }
    ::execv(pointers[0], pointers.data());
    ::_exit(127);
  }
  process.terminal_.reset(master);
  return process;
}

Process::~Process() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Process::signal(int number) const {
  ::kill(pid_, number);
}

std::string Process::output() const {
  return content(out_);
}

void Process::type(const std::string& keys) const {
  (void)!::write(terminal_.get(), keys.data(), keys.size());
}

bool Process::wait_for(const std::string& text) {
  std::array<char, 4096> bytes;
  while (shown_.find(text) == std::string::npos) {
    const ssize_t n = ::read(terminal_.get(), bytes.data(), bytes.size());
    if (n <= 0) return false;
    shown_.append(bytes.data(), static_cast<std::size_t>(n));
  }
  return true;
}

ProgramResult Process::wait() {
  if (terminal_) {
    while (wait_for(std::string("\0never shown", 12))) {
    }
  }
  int status = 0;
  ::waitpid(std::exchange(pid_, -1), &status, 0);
  return {WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
          terminal_ ? shown_ : content(out_), content(err_)};
}

ProgramResult run(const std::vector<std::string>& argv, const std::string& stdin_file) {
  return Process::start(argv, stdin_file).wait();
}

std::vector<std::string> glassbox(std::vector<std::string> arguments) {
  const auto build = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path();
  arguments.insert(arguments.begin(), build / "glassbox");
  return arguments;
}

}  // namespace glassbox::test
