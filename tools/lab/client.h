// The caller's side of one command in the lab.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox::lab {

struct ClientOptions {
  std::uint16_t port = 0;  // on 127.0.0.1
  std::string token_file;
  std::string console_log;  // searched for the reason if the lab ends during the command
  std::vector<std::string> command;
  int patience_s = 60;  // silence after which the lab counts as failed; a loaded lab is slow, not dead
};

// Runs the command and returns its exit status; an error is a failure of the lab, not of the command.
[[nodiscard]] Result<int> run_client(const ClientOptions& options);

}  // namespace glassbox::lab
