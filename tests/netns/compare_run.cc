#include "tests/netns/compare_run.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <sstream>

#include "tools/bench/process/paths.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, '\0');)
    words.push_back(word);
  return words;
}

// On the folder that the launcher mounts over, for itself.
std::vector<std::string> tun_mounts() {
  std::vector<std::string> all;
  std::ifstream in("/proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.find(" /dev/net") != std::string::npos) all.push_back(line);
  }
  return all;
}

std::string read_text(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

CompareRun::CompareRun(std::vector<std::string> options, const std::string& path) {
  static int made = 0;
  mark_ = fmt::format("COMPARE_RUN_MARK={}-{}", ::getpid(), ++made);
  mounts_ = tun_mounts();
  // Its ordinary user reaches what lies in it.
  fs::permissions(temp_.path(), fs::perms(0755));
  const char* old = std::getenv("PATH");
  std::vector<std::string> argv{"/usr/bin/env",
                                mark_,
                                "TMPDIR=" + temp_.path().string(),
                                "PATH=" + path + (path.empty() ? "" : ":") + (old != nullptr ? old : ""),
                                program_dir().parent_path() / "glassbox-bench",
                                "compare"};
  argv.insert(argv.end(), options.begin(), options.end());
  auto child = Child::start({.what = "compare", .argv = std::move(argv), .stop_signal = SIGINT});
  EXPECT_TRUE(child.has_value());
  child_ = std::move(*child);
}

void CompareRun::wait_for_text(const std::string& text) {
  while (child_->err().find(text) == std::string::npos) {
    pollfd said{child_->err_fd(), POLLIN, 0};
    ASSERT_GE(::poll(&said, 1, -1), 0);
    child_->take_output();
    ASSERT_FALSE(child_->reap()) << child_->err();
  }
}

Seen CompareRun::wait_for_process(const std::function<bool(const Seen&)>& like) {
  while (!child_->wait(1)) {
    for (const Seen& one : processes()) {
      if (like(one)) return one;
    }
  }
  ADD_FAILURE() << "ended first: " << child_->err() << child_->out();
  return {};
}

int CompareRun::wait() {
  while (!child_->wait(1000)) {
  }
  return child_->reap()->code;
}

std::vector<Seen> CompareRun::processes() const {
  std::vector<Seen> all;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto environment = split(read_text(entry.path() / "environ"));
    if (std::find(environment.begin(), environment.end(), mark_) == environment.end()) continue;
    std::error_code gone;
    all.push_back({std::stoi(name), fs::read_symlink(entry.path() / "exe", gone).filename(),
                   split(read_text(entry.path() / "cmdline"))});
  }
  return all;
}

std::vector<std::string> CompareRun::left() const {
  std::vector<std::string> all;
  for (const Seen& one : processes())
    all.push_back(fmt::format("process {}: {}", one.pid, one.command.empty() ? "" : one.command.front()));
  for (const auto& entry : fs::directory_iterator(temp_.path()))
    all.push_back(entry.path());
  // "gbb" and the pid of the client at the other end (tools/bench/stacks/native_stack.cc).
  for (const auto& entry : fs::directory_iterator("/sys/class/net")) {
    const std::string name = entry.path().filename();
    if (name.starts_with("gbb") && !fs::exists("/proc/" + name.substr(3))) all.push_back("device " + name);
  }
  for (const std::string& mount : tun_mounts()) {
    if (std::find(mounts_.begin(), mounts_.end(), mount) == mounts_.end()) all.push_back("mount " + mount);
  }
  return all;
}

}  // namespace glassbox::bench
