#include "guest/agent/init.h"

#include <fcntl.h>
#include <linux/module.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>

#include "guest/agent/network.h"
#include "vmm/base/compressed_file.h"
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

// The image has put files there: a mount would hide them. The root is in memory already.
bool has_files(const char* folder) {
  std::error_code error;
  return std::filesystem::directory_iterator(folder, error) != std::filesystem::directory_iterator();
}

// What the image has in /dev/shm, which devtmpfs is about to hide with all of /dev: a mount of that folder
// that is attached nowhere yet. Invalid if there is nothing.
UniqueFd keep_shared_memory() {
  if (!has_files("/dev/shm")) return UniqueFd();
  return UniqueFd(
      static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, "/dev/shm", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
}

void mount_all() {
  const UniqueFd shared_memory = keep_shared_memory();
  for (const Mount& m : kEarlyMounts) {
    const std::string_view target = m.target;
    ::mkdir(m.target, 0755);
    if ((target == "/run" || target == "/tmp") && has_files(m.target)) continue;
    if (target == "/dev/shm" && shared_memory &&
        ::syscall(SYS_move_mount, shared_memory.get(), "", AT_FDCWD, m.target, MOVE_MOUNT_F_EMPTY_PATH) == 0)
      continue;
    // EBUSY: already mounted, for example devtmpfs by the kernel itself.
    if (::mount(m.type, m.target, m.type, m.flags, m.options) < 0 && errno != EBUSY) {
      say("cannot mount {}: {}", m.target, std::strerror(errno));
    }
  }
}

bool load_module(int fd, int flags) {
  return ::syscall(SYS_finit_module, fd, "", flags) == 0 || errno == EEXIST;
}

// A compressed module is unpacked by the kernel, if it can (CONFIG_MODULE_DECOMPRESS), or here.
Status load_module(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "cannot load {}", path);
  const bool compressed = !unpacker_of(path).empty();
  if (load_module(fd.get(), compressed ? MODULE_INIT_COMPRESSED_FILE : 0)) return {};
  if (!compressed) return fail_errno(errno, "cannot load {}", path);
  GB_ASSIGN(const UniqueFd content, unpack_file(path));
  if (!load_module(content.get(), 0)) return fail_errno(errno, "cannot load {}", path);
  return {};
}

void load_modules() {
  std::ifstream list("/etc/glassbox/modules");
  for (std::string path; std::getline(list, path);) {
    if (const Status status = load_module(path); !status) say("{}", status.error().message);
  }
}

// What the kernel's log says of the image; empty if it could unpack all of it.
std::string unpacking_failure() {
  constexpr std::string_view kMark = "Initramfs unpacking failed: ";
  constexpr int kReadAll = 3;  // SYSLOG_ACTION_READ_ALL
  std::string log(256 * 1024, '\0');
  const int bytes = ::klogctl(kReadAll, log.data(), static_cast<int>(log.size()));
  log.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
  const std::size_t at = log.find(kMark);
  if (at == std::string::npos) return {};
  const std::string_view rest = std::string_view(log).substr(at + kMark.size());
  return fmt::format("the kernel could not unpack the guest's image ({}): raise --memory",
                     rest.substr(0, std::min<std::size_t>(rest.find('\n'), 60)));
}

// Without a clock of its own that keeps the date (kvm-clock), the guest takes the host's at the start.
void set_clock() {
  const std::string value = command_line_value("glassbox.date");
  timespec date{};
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), date.tv_sec);
  if (error != std::errc() || date.tv_sec <= ::time(nullptr)) return;
  if (::clock_settime(CLOCK_REALTIME, &date) < 0) say("cannot set the clock: {}", std::strerror(errno));
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

std::string command_line_value(std::string_view name) {
  std::ifstream line("/proc/cmdline");
  for (std::string word; line >> word;)
    if (word.size() > name.size() && word.starts_with(name) && word[name.size()] == '=')
      return word.substr(name.size() + 1);
  return {};
}

bool is_on_command_line(std::string_view wanted) {
  std::ifstream line("/proc/cmdline");
  for (std::string word; line >> word;)
    if (word == wanted) return true;
  return false;
}

std::string init_system() {
  ::umask(022);
  mount_all();
  set_clock();
  std::string failure = unpacking_failure();
  load_modules();
  set_host_name();
  if (const Status status = bring_up_network(); !status) say("{}", status.error().message);
  return failure;
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
