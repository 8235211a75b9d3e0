// delay-crr's command line.
#pragma once

#include <netinet/in.h>

namespace glassbox::delays::crr {

struct Options {
  sockaddr_in peer{};
  long cycles = 0;
  long payload = 1;  // bytes sent
  long reply = 0;    // bytes expected; 0: the number sent

  // Every `every`th cycle is delayed; 0: none.
  long every = 2;
  long before_connect_us = 0, before_send_us = 0, before_close_us = 0;
  long fat_mib = 0;  // every cycle forks and execs, a delayed one from a process of this size; 0: no fork
  const char* lose_syn = nullptr;  // the interface that drops the SYN; null: none
  bool step = false;               // a byte on stdin starts each cycle, a line on stdout marks its end
  bool stamps = false;             // print the time of each step of each cycle
  long forked_at_ns = 0;           // for a forked child: when its parent forked
  int report_fd = -1;

  [[nodiscard]] bool is_delayed(long cycle) const { return every > 0 && cycle % every == every - 1; }
  [[nodiscard]] bool delays() const {
    return before_connect_us + before_send_us + before_close_us + fat_mib > 0 || lose_syn != nullptr;
  }
};

// False if an argument is unknown or out of range.
[[nodiscard]] bool parse(int argc, char** argv, Options& options);

}  // namespace glassbox::delays::crr
