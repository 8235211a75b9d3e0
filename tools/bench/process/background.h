// A process that is to run for as long as a scope does.
#pragma once

#include "tools/bench/process/child.h"
#include "tools/bench/process/watch.h"

namespace glassbox::bench {

// Takes a process off the watch's list before it is ended on purpose.
class Background {
 public:
  Background(Watch& watch, Child* child) : watch_(watch), child_(child) {
    if (child_ != nullptr) watch_.add_background(*child_);
  }
  ~Background() {
    if (child_ != nullptr) watch_.remove_background(*child_);
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

 private:
  Watch& watch_;
  Child* child_;
};

}  // namespace glassbox::bench
