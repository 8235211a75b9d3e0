// Files that a Debian package keeps compressed (kernel modules), unpacked by the programs that everyone has.
// Header-only: the guest's agent is compiled without the library.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <string>
#include <string_view>

#include "vmm/base/start_process.h"

namespace glassbox {

// The program that unpacks a file of that name, or an empty string for a file that is not compressed.
[[nodiscard]] inline std::string_view unpacker_of(std::string_view name) {
  if (name.ends_with(".xz")) return "xz";
  if (name.ends_with(".zst")) return "zstd";
  if (name.ends_with(".gz")) return "gzip";
  return {};
}

// The name without its compression: "a.ko.xz" gives "a.ko".
[[nodiscard]] inline std::string_view unpacked_name(std::string_view name) {
  return unpacker_of(name).empty() ? name : name.substr(0, name.rfind('.'));
}

// A memory file with the content of the file at `path`, which unpacker_of() knows. Blocks until the program
// has ended; a SIGCHLD of it may come.
[[nodiscard]] inline Result<UniqueFd> unpack_file(const std::string& path) {
  const std::string program(unpacker_of(path));
  UniqueFd out(::memfd_create("glassbox-unpacked", MFD_CLOEXEC));
  const UniqueFd in(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd messages(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!in) return fail_errno(errno, "cannot read {}", path);
  if (!out || !messages) return fail_errno(errno, "cannot unpack {}", path);
  auto process = start_process({.argv = {program, "-dc"},
                                .env = {"PATH=/usr/bin:/bin"},
                                .directory = "/",
                                .stdio = {in.get(), out.get(), messages.get()}});
  if (!process) return fail_errno(process.error().code, "cannot unpack {}: {}", path, program);
  int status = 0;
  while (::waitpid(process->pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) return fail("cannot unpack {}: {} failed", path, program);
  return out;
}

}  // namespace glassbox
