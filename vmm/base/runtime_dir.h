// How other processes find a running VM: each VM has a directory with its name.
//
//   /run/glassbox/NAME/             root's VMs
//   $XDG_RUNTIME_DIR/glassbox/NAME/ other users' (root's collector looks into /run/user/*/glassbox too)
//
// GLASSBOX_RUNTIME_DIR replaces both (tests use it).
//
// In it:
//
//   pid         decimal pid of the monitor, write-locked while it lives (an open file description lock):
//               a directory whose lock is free is stale. Directory, file and process have one owner, else it
//               is no VM: another user's directory may hold any number
//   vsock.sock  UNIX stream socket to the guest's vsock ports (guest/protocol.h)
//   stats.sock  UNIX stream socket that gives the VM's figures as one JSON object (glassbox stats)
//   console.log the last part of the guest's console (glassbox logs)
//   info.json   {"name","pid","kernel","initrd","vcpus","memory_mib","command","started_at"}
//
// Names: [A-Za-z0-9][A-Za-z0-9_.-]{0,63}.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/base/unique_fd.h"

namespace glassbox {

inline constexpr const char* kStatsSocket = "stats.sock";
inline constexpr const char* kConsoleLog = "console.log";

struct RunningVm {
  std::string name;
  pid_t pid = 0;
  std::filesystem::path dir;
  [[nodiscard]] std::filesystem::path vsock_path() const { return dir / "vsock.sock"; }
};

// The monitor's claim on a name. The destructor removes the directory.
class RuntimeDir {
 public:
  // Fails if a live VM has the name; replaces a stale directory. An empty name picks one ("vm-<pid>").
  [[nodiscard]] static Result<RuntimeDir> claim(std::string_view name);
  RuntimeDir(RuntimeDir&&) noexcept = default;
  RuntimeDir& operator=(RuntimeDir&&) = delete;
  ~RuntimeDir();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string name() const { return path_.filename().string(); }
  // After a fork (daemon), the child's pid is the one to write.
  [[nodiscard]] Status write_pid(pid_t pid);
  [[nodiscard]] Status write_info(std::string_view json);

 private:
  RuntimeDir(std::filesystem::path path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  [[nodiscard]] pid_t owner_pid() const;
  std::filesystem::path path_;
  UniqueFd lock_;  // the pid file, locked
};

// Removes what monitors that were killed have left in this user's own directory.
[[nodiscard]] std::vector<RunningVm> list_running_vms();
// The error lists the names of the running VMs.
[[nodiscard]] Result<RunningVm> find_running_vm(std::string_view name);

// Connects to a UNIX stream socket in a VM's directory, provided that the directory's owner listens there.
[[nodiscard]] Result<UniqueFd> connect_vm_socket(const std::filesystem::path& path);

// Connects to a guest vsock port through the VM's socket (CONNECT / OK handshake done). Gives up if the
// guest does not answer within `patience_s`, or when `cancel_fd` becomes readable (the error's code is
// ECANCELED).
[[nodiscard]] Result<UniqueFd> connect_vsock(const std::filesystem::path& vsock_path, unsigned port,
                                             int patience_s = 30, int cancel_fd = -1);

}  // namespace glassbox
