// One line of progress on stderr: rewritten on a terminal, a plain line per stage elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace glassbox::bench {

class Progress {
 public:
  Progress();
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // A line that stays.
  void note(std::string_view text);
  // A new stage: "starting the guest".
  void stage(std::string_view text);
  // What the stage is at; shown on a terminal only.
  void detail(std::string_view text);
  // How far the stage is; shown on a terminal only.
  void count(std::uint64_t done, std::uint64_t total);
  // Takes the line away, so that a report or an error stands alone.
  void clear();

 private:
  bool terminal_;
  bool shown_ = false;
  std::string stage_;
};

}  // namespace glassbox::bench
