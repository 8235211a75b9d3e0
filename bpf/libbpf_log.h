// libbpf explains its failures on stderr only. These functions keep the explanation for one-line error
// messages instead.
#pragma once

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>

namespace glassbox::bpf {

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

// "<strerror> (<libbpf's first warning>)". The warning is then forgotten.
inline std::string take_libbpf_error(int errnum) {
  std::string text = std::strerror(errnum);
  if (!libbpf_last_warning().empty()) text += " (" + libbpf_last_warning() + ")";
  libbpf_last_warning().clear();
  return text;
}

}  // namespace glassbox::bpf
