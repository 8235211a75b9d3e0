#include "tests/netns/harness.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

namespace glassbox {
namespace {

constexpr unsigned kTunMajor = 10, kTunMinor = 200;  // Documentation/admin-guide/devices.txt

// In a mount namespace of this process, so that no other process sees it and nothing remains.
bool own_tun_device() {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("tmpfs", "/dev/net", "tmpfs", MS_NOSUID, "mode=0755,size=64k") == 0 &&
         ::mknod("/dev/net/tun", S_IFCHR | 0666, makedev(kTunMajor, kTunMinor)) == 0 &&
         ::chmod("/dev/net/tun", 0666) == 0;
}

}  // namespace

std::vector<std::string> netns(std::vector<std::string> command, const std::vector<std::string>& options) {
  std::vector<std::string> argv = {GLASSBOX_PROGRAM, "netns"};
  argv.insert(argv.end(), options.begin(), options.end());
  argv.push_back("--");
  argv.insert(argv.end(), command.begin(), command.end());
  return argv;
}

std::vector<std::string> sh(const std::string& script) {
  return {"/bin/sh", "-c", script};
}

Process::Process(const std::vector<std::string>& words, uid_t uid, bool own_group) {
  int pipe_fds[2] = {};
  EXPECT_EQ(::pipe2(pipe_fds, O_CLOEXEC), 0);
  out_.reset(pipe_fds[0]);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (own_group) ::setpgid(0, 0);
    ::dup2(pipe_fds[1], 1);
    ::dup2(pipe_fds[1], 2);
    if (uid != 0 && !own_tun_device()) ::_exit(97);
    if (uid != 0 && (::setgid(uid) != 0 || ::setuid(uid) != 0)) ::_exit(99);
    std::vector<char*> argv;
    for (const std::string& word : words)
      argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    ::_exit(98);
  }
  ::close(pipe_fds[1]);
}

Process::~Process() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
}

std::string Process::read_until(const std::string& mark) {
  char byte = 0;
  while (output_.find(mark) == std::string::npos && ::read(out_.get(), &byte, 1) == 1)
    output_ += byte;
  return output_;
}

std::string Process::take_until(const std::string& mark) {
  read_until(mark);
  const auto at = output_.find(mark);
  std::string taken = output_.substr(0, at == std::string::npos ? at : at + mark.size());
  output_.erase(0, taken.size());
  return taken;
}

ProgramResult Process::wait() {
  char byte = 0;
  while (::read(out_.get(), &byte, 1) == 1)
    output_ += byte;
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return {WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), output_};
}

ProgramResult run(const std::vector<std::string>& words, uid_t uid) {
  return Process(words, uid).wait();
}

std::string why_no_netns() {
  const ProgramResult outcome = run(netns(sh("exit 0")));
  const bool able = ::geteuid() == 0 && ::access("/dev/net/tun", R_OK | W_OK) == 0;
  if (able) {
    EXPECT_EQ(outcome.status, 0) << outcome.output;
  }
  return outcome.status == 0 ? "" : "cannot make a namespace with a tap here: " + outcome.output;
}

}  // namespace glassbox
