// A child process of the launcher: started with its own process group, watched, and never left behind.
//
// Its own group, so that Ctrl-C on the terminal reaches the launcher alone, which then stops the others in
// order; a parent-death signal, so that even a killed launcher leaves nothing. The launcher is
// single-threaded.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::bench {

struct ChildSpec {
  std::string what;               // names it in errors: "the echo server"
  std::vector<std::string> argv;  // argv[0] is a path or is looked up
  bool capture_stdout = true;     // otherwise it goes to the launcher's
  std::vector<int> inherit = {};  // descriptors it keeps, at their numbers
  int stop_signal = SIGTERM;      // asks it to end
};

// How a process ended, in the form a shell gives: status, or 128 + signal.
struct ExitStatus {
  int code = 0;
  [[nodiscard]] bool ok() const { return code == 0; }
};

class Child {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Child>> start(ChildSpec spec);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  // Asks it to end, waits, kills.
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::string& what() const { return spec_.what; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  [[nodiscard]] int out_fd() const { return out_.get(); }  // -1 once at end of file
  [[nodiscard]] int err_fd() const { return err_.get(); }

  // Takes up what out_fd()/err_fd() have, after poll() said so. Output is bounded; beyond it the rest is
  // discarded.
  void take_output();
  [[nodiscard]] const std::string& out() const { return out_text_; }
  [[nodiscard]] const std::string& err() const { return err_text_; }
  // "the echo server exited 1: <last line of its stderr>"
  [[nodiscard]] std::string how_it_ended() const;

  // The status once it ended; does not block.
  std::optional<ExitStatus> reap();
  void signal(int number) const;  // to its whole group
  // Waits up to `limit_ms` for its end, taking up its output; false if it still runs. For winding up only:
  // Watch is what waits during a run.
  bool wait(int limit_ms);
  // Sends the stop signal, waits up to `limit_ms`, then kills. Returns how it ended.
  ExitStatus stop(int limit_ms);

 private:
  Child(ChildSpec spec, pid_t pid, UniqueFd pidfd, UniqueFd out, UniqueFd err);
  ChildSpec spec_;
  pid_t pid_ = -1;
  UniqueFd pidfd_, out_, err_;
  std::string out_text_, err_text_;
  std::optional<ExitStatus> status_;
};

// Whether a shell would find it.
[[nodiscard]] bool in_path(const std::string& program);

// The last line with text in it, at most 300 bytes.
[[nodiscard]] std::string last_line(const std::string& text);

}  // namespace glassbox::bench
