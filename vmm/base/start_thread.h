// Starts a thread where the lack of threads or of memory is an error, and not the end of the process.
// std::thread and std::async throw, which the rest of the tree does not expect.
#pragma once

#include <system_error>
#include <thread>
#include <utility>

#include "vmm/base/result.h"

namespace glassbox {

// `what` is named in the error: "the network thread".
template <typename Function>
[[nodiscard]] Result<std::thread> start_thread(const char* what, Function&& function) {
  try {
    return std::thread(std::forward<Function>(function));
  } catch (const std::system_error& error) {
    return fail_errno(error.code().value(), "cannot start {}", what);
  }
}

}  // namespace glassbox
