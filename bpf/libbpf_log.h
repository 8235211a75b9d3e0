// libbpf explains its failures on stderr only. These keep the explanation for our own one-line errors
// instead.
#pragma once

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>

namespace glassbox::trace {

inline std::string& libbpf_last_warning() {
  thread_local std::string warning;
  return warning;
}

// From here on libbpf prints nothing in this process; its first warning is kept until it is taken.
inline void capture_libbpf_log() {
  libbpf_set_print([](libbpf_print_level level, const char* format, va_list args) {
    if (level == LIBBPF_WARN && libbpf_last_warning().empty()) {
      char line[512];
      std::vsnprintf(line, sizeof(line), format, args);
      libbpf_last_warning().assign(line, std::strcspn(line, "\n"));
    }
    return 0;
  });
}

// "<strerror> (<what libbpf said first>)"; forgets what it said.
inline std::string take_libbpf_error(int errnum) {
  std::string text = std::strerror(errnum);
  if (!libbpf_last_warning().empty()) text += " (" + libbpf_last_warning() + ")";
  libbpf_last_warning().clear();
  return text;
}

}  // namespace glassbox::trace
