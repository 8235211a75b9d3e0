#include "guest/agent/init.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "guest/agent/network.h"
#include "vmm/base/io.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::agent {
namespace {

struct Mount {
  const char* type;
  const char* target;
  unsigned long flags;
  const char* options;
};

constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;

constexpr Mount kEarlyMounts[] = {
    {"proc", "/proc", kPlain, ""},
    {"sysfs", "/sys", kPlain, ""},
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666"},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
    {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"cgroup2", "/sys/fs/cgroup", kPlain, ""},
    {"tracefs", "/sys/kernel/tracing", kPlain, ""},
    {"debugfs", "/sys/kernel/debug", kPlain, ""},
    {"bpf", "/sys/fs/bpf", kPlain, "mode=0700"},
};

void mount_all() {
  for (const Mount& m : kEarlyMounts) {
    ::mkdir(m.target, 0755);
    // EBUSY: already mounted, for example devtmpfs by the kernel itself.
    if (::mount(m.type, m.target, m.type, m.flags, m.options) < 0 && errno != EBUSY) {
      say("cannot mount {}: {}", m.target, std::strerror(errno));
    }
  }
}

void load_modules() {
  std::ifstream list("/etc/glassbox/modules");
  for (std::string path; std::getline(list, path);) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd || (::syscall(SYS_finit_module, fd.get(), "", 0) < 0 && errno != EEXIST)) {
      say("cannot load {}: {}", path, std::strerror(errno));
    }
  }
}

void set_host_name() {
  std::string name;
  std::ifstream("/etc/hostname") >> name;
  if (!name.empty() && ::sethostname(name.c_str(), name.size()) < 0)
    say("cannot set the host name to {}: {}", name, std::strerror(errno));
}

}  // namespace

void say_line(std::string_view line) {
  const std::string text = fmt::format("glassbox-agent: {}\n", line);
  write_once(STDERR_FILENO, text);
}

void init_system() {
  ::umask(022);
  mount_all();
  load_modules();
  set_host_name();
  if (const Status status = bring_up_network(); !status) say("{}", status.error().message);
}

void power_off() {
  ::sync();
  ::reboot(RB_POWER_OFF);
  say("cannot power off: {}", std::strerror(errno));
  ::reboot(RB_HALT_SYSTEM);
  for (;;)
    ::pause();
}

void restart() {
  ::sync();
  ::reboot(RB_AUTOBOOT);
  for (;;)
    ::pause();
}

}  // namespace glassbox::agent
