// `glassbox-bench compare` on stacks that need no guest, watched from outside: what it says, what it starts,
// and what is left when it has ended.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/vmm/base/temp_dir.h"
#include "tools/bench/process/child.h"

namespace glassbox::bench {

struct Seen {
  pid_t pid = 0;
  std::string program;               // file name
  std::vector<std::string> command;  // its words
};

class CompareRun {
 public:
  // path: folders to look for programs in before all others.
  explicit CompareRun(std::vector<std::string> options, const std::string& path = {});

  [[nodiscard]] Child& child() { return *child_; }
  // Until it has said `text` on stderr.
  void wait_for_text(const std::string& text);
  // Until it has started a process like that; the process.
  Seen wait_for_process(const std::function<bool(const Seen&)>& like);
  // To its end; the status as a shell has it.
  int wait();
  [[nodiscard]] const std::string& out() const { return child_->out(); }
  [[nodiscard]] const std::string& err() const { return child_->err(); }

  // Processes of the run that live; network devices, mounts and files that it made and that are still there.
  [[nodiscard]] std::vector<std::string> left() const;
  [[nodiscard]] std::vector<Seen> processes() const;

 private:
  test::TempDir temp_;
  std::vector<std::string> mounts_;  // before it
  std::string mark_;
  std::unique_ptr<Child> child_;
};

}  // namespace glassbox::bench
