#include "tools/trace/record/target.h"

#include <fcntl.h>

#include "vmm/base/runtime_dir.h"

namespace glassbox::trace {

Result<UniqueFd> claim_recording(const RecordTarget& target) {
  if (target.vsock_path.empty()) return UniqueFd();
  const auto path = target.vsock_path.parent_path() / "info.json";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail_errno(errno, "{}: cannot open {}", target.description, path.string());
  struct flock lock {};
  lock.l_type = F_WRLCK;
  if (::fcntl(fd.get(), F_SETLK, &lock) == 0) return fd;
  if (errno != EAGAIN && errno != EACCES) return fail_errno(errno, "cannot lock {}", path.string());
  if (::fcntl(fd.get(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK || lock.l_pid <= 0)
    return fail("{} is being recorded by another process: one recording at a time", target.description);
  return fail("{} is being recorded by process {}: one recording at a time", target.description, lock.l_pid);
}

Result<RecordTarget> find_target(const std::optional<std::string>& name, std::optional<pid_t> pid) {
  const auto target_of = [](const RunningVm& vm) {
    return RecordTarget{vm.pid, vm.vsock_path(), fmt::format("VM {} (pid {})", vm.name, vm.pid)};
  };
  if (name) {
    GB_ASSIGN(const RunningVm vm, find_running_vm(*name));
    return target_of(vm);
  }
  const auto running = list_running_vms();
  if (pid) {
    for (const RunningVm& vm : running)
      if (vm.pid == *pid) return target_of(vm);
    return RecordTarget{*pid, {}, fmt::format("process {}", *pid)};
  }
  if (running.size() == 1) return target_of(running.front());
  if (running.empty()) return fail("no VM is running: start one with `glassbox run`");
  return fail("{} VMs are running: choose one with --name (see `glassbox ls`)", running.size());
}

}  // namespace glassbox::trace
