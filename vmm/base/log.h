// Messages for people: start-up, errors and control only. Frame and exit paths never log; they have probes
// (bpf/probes.def).
//
// All of it goes to stderr as "glassbox: warning: text"; colour only when stderr is a terminal.
#pragma once

#include <spdlog/spdlog.h>

#include <string_view>

namespace glassbox {

// Sets the program's name and level. Call it once, at the start of main(). verbose adds debug messages.
void log_init(std::string_view program, bool verbose);

}  // namespace glassbox
