// delay-crr's command line.
#pragma once

#include <netinet/in.h>

namespace glassbox::delays::crr {

struct Options {
  sockaddr_in peer{};
  long cycles = 0;
  long payload = 1;  // bytes sent
  long reply = 0;    // bytes expected; 0: as many as sent

  // A known delay in every `every`th cycle; 0: no delay.
  long every = 2;
  long before_connect_us = 0, before_send_us = 0, before_close_us = 0;
  long fat_mib = 0;                // every cycle forks and execs; a delayed one from a process of that size
  const char* lose_syn = nullptr;  // interface that loses the SYN
  bool step = false;               // a byte on stdin starts each cycle, a line on stdout reports its end
  bool stamps = false;             // print when each boundary of each cycle was reached
  long forked_at_ns = 0;           // set by a fat parent for its child
  int report_fd = -1;

  [[nodiscard]] bool is_delayed(long cycle) const { return every > 0 && cycle % every == every - 1; }
  [[nodiscard]] bool delays() const {
    return before_connect_us + before_send_us + before_close_us + fat_mib > 0 || lose_syn != nullptr;
  }
};

// Returns false if the arguments are invalid.
[[nodiscard]] bool parse(int argc, char** argv, Options& options);

}  // namespace glassbox::delays::crr
