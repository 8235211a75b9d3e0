// A check of our own code that stays on in release builds: what it guards would otherwise be a write outside
// of its bounds, or a use after the end. assert() is for the rest: contracts whose breach is wrong, but
// harmless to memory.
//
// A guest's mistake is neither: it is an error value (result.h).
#pragma once

#include <cstdio>
#include <cstdlib>

namespace glassbox {

[[noreturn, gnu::cold, gnu::noinline]] inline void check_failed(const char* condition, const char* file,
                                                                int line) {
  std::fprintf(stderr, "glassbox: %s:%d: a check of the program itself failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace glassbox

#define GB_CHECK(condition)                          \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::glassbox::check_failed(#condition, __FILE__, __LINE__))
