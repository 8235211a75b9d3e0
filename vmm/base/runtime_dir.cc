#include "vmm/base/runtime_dir.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <utility>

#include "vmm/base/io.h"
#include "vmm/base/printable.h"
#include "vmm/base/socket_address.h"

namespace glassbox {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxName = 64;
constexpr int kClaimTries = 1000;  // a millisecond apart

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && is_alnum(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

// The directory of this user's VMs. XDG_RUNTIME_DIR counts only for ordinary users: root's VMs are at a fixed
// path, where every root shell finds them.
Result<fs::path> own_base() {
  if (const char* chosen = std::getenv("GLASSBOX_RUNTIME_DIR")) return fs::path(chosen);
  if (::geteuid() == 0) return fs::path("/run/glassbox");
  const char* xdg = std::getenv("XDG_RUNTIME_DIR");
  if (xdg != nullptr && xdg[0] == '/') return fs::path(xdg) / "glassbox";
  const fs::path guess = fs::path("/run/user") / std::to_string(::geteuid());
  std::error_code error;
  if (fs::is_directory(guess, error)) return guess / "glassbox";
  return fail("XDG_RUNTIME_DIR is not set: set it to a directory of your own for the VM's sockets");
}

// All directories to search: the user's own, and for root those of every user.
std::vector<fs::path> all_bases() {
  std::vector<fs::path> bases;
  if (const auto own = own_base()) bases.push_back(*own);
  std::error_code error;
  if (::geteuid() == 0 && std::getenv("GLASSBOX_RUNTIME_DIR") == nullptr) {
    for (const auto& entry : fs::directory_iterator("/run/user", error))
      bases.push_back(entry.path() / "glassbox");
  }
  return bases;
}

// The path may be a symbolic link or a directory of another user: neither is followed.
Status make_private_directory(const fs::path& dir, uid_t owner) {
  if (::mkdir(dir.c_str(), 0700) == 0) return {};
  if (errno != EEXIST) return fail_errno(errno, "cannot make {}", dir.string());
  struct stat info {};
  if (::lstat(dir.c_str(), &info) < 0) return fail_errno(errno, "cannot look at {}", dir.string());
  if (!S_ISDIR(info.st_mode) || info.st_uid != owner)
    return fail("{} is not a directory of this user: remove it or choose another --name", dir.string());
  return {};
}

// Open file description locks: they survive the fork of the daemon, and a query (F_OFD_GETLK) takes no lock.
struct flock whole_file_lock() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

pid_t read_pid(int fd) {
  char text[32] = {};
  const ssize_t n = ::pread(fd, text, sizeof(text) - 1, 0);
  pid_t pid = 0;
  if (n > 0) std::from_chars(text, text + n, pid);
  return pid;
}

// The user that a process acts for (proc_pid_status(5), the second number of "Uid:"). The owner of /proc/PID
// would be root for a process that has changed its user.
std::optional<uid_t> user_of_process(pid_t pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string word; status >> word;) {
    uid_t real = 0, effective = 0;
    if (word == "Uid:" && status >> real >> effective) return effective;
  }
  return std::nullopt;
}

// The pid in a VM's directory if its monitor lives, i.e. holds the lock; 0 if not. The directory may be
// another user's, who can write any number into the file: only a process of the directory's owner is a VM of
// it.
pid_t live_pid(const fs::path& dir) {
  const UniqueFd folder(::open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!folder) return 0;
  const UniqueFd fd(::openat(folder.get(), "pid", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct flock lock = whole_file_lock();
  if (!fd || ::fcntl(fd.get(), F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK) return 0;
  struct stat owner {
  }, file{};
  if (::fstat(folder.get(), &owner) < 0 || ::fstat(fd.get(), &file) < 0) return 0;
  const pid_t pid = read_pid(fd.get());
  const bool one_user = file.st_uid == owner.st_uid && pid > 0 && user_of_process(pid) == owner.st_uid;
  return one_user ? pid : 0;
}

// Whether the process that listens behind a connected socket acts for the owner of the socket's directory.
bool listener_is_owner(int fd, const fs::path& socket_path) {
  struct stat folder {};
  ucred listener{};
  socklen_t size = sizeof(listener);
  return ::lstat(socket_path.parent_path().c_str(), &folder) == 0 &&
         ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &size) == 0 && listener.uid == folder.st_uid;
}

// Removes only plain entries, without recursion: this may run as root on a directory that other users can
// write to.
void remove_directory(const fs::path& dir) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error))
    fs::remove(entry.path(), error);
  fs::remove(dir, error);
}

// Whether the locked file is still the one at that path: a monitor that ends removes its pid file, perhaps
// between open() and the lock, and a lock on a removed file is worth nothing.
bool is_still_at(int fd, const fs::path& path) {
  struct stat held {
  }, there{};
  return ::fstat(fd, &held) == 0 && ::lstat(path.c_str(), &there) == 0 && held.st_ino == there.st_ino &&
         held.st_dev == there.st_dev;
}

// Removes the directory if its monitor is gone. The lock is held meanwhile, so that no new monitor takes it.
void remove_if_stale(const fs::path& dir) {
  struct stat info {};
  if (::lstat(dir.c_str(), &info) < 0 || !S_ISDIR(info.st_mode) || info.st_uid != ::geteuid()) return;
  const UniqueFd lock(::open((dir / "pid").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct flock request = whole_file_lock();
  if (!lock || ::fcntl(lock.get(), F_OFD_SETLK, &request) < 0 || !is_still_at(lock.get(), dir / "pid"))
    return;
  remove_directory(dir);
}

}  // namespace

Result<RuntimeDir> RuntimeDir::claim(std::string_view name) {
  const std::string chosen = name.empty() ? "vm-" + std::to_string(::getpid()) : std::string(name);
  if (!valid_name(chosen)) {
    return fail(
        "\"{}\" is not a valid VM name: use up to {} letters, digits, '_', '.' and '-', a letter or digit first",
        chosen, kMaxName);
  }
  GB_ASSIGN(const fs::path base, own_base());
  GB_TRY(make_private_directory(base, ::geteuid()));
  const fs::path dir = base / chosen;
  GB_TRY(make_private_directory(dir, ::geteuid()));
  const fs::path pid_file = dir / "pid";
  for (int tries = 0;;) {
    UniqueFd lock(::open(pid_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!lock && errno == ENOENT) {
      GB_TRY(make_private_directory(dir, ::geteuid()));
      continue;
    }
    if (!lock) return fail_errno(errno, "cannot make {}", pid_file.string());
    struct flock request = whole_file_lock();
    if (::fcntl(lock.get(), F_OFD_SETLK, &request) < 0) {
      if (errno != EAGAIN && errno != EACCES) return fail_errno(errno, "cannot lock {}", pid_file.string());
      const pid_t pid = live_pid(dir);
      // Without a live pid, a command removes a stale directory at this moment, or a monitor is about to
      // write its own.
      if (pid == 0 && ++tries < kClaimTries) {
        ::poll(nullptr, 0, 1);
        continue;
      }
      return fail("a VM named {} is running (pid {}): choose another --name, or glassbox stop {}", chosen,
                  pid, chosen);
    }
    if (!is_still_at(lock.get(), pid_file)) continue;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(dir, error)) {
      if (entry.path() != pid_file) fs::remove(entry.path(), error);  // left by a monitor that was killed
    }
    RuntimeDir claimed(dir, std::move(lock));
    GB_TRY(claimed.write_pid(::getpid()));
    return claimed;
  }
}

RuntimeDir::~RuntimeDir() {
  // After a fork, parent and child both hold the locked file. The one whose pid is in it removes the
  // directory.
  if (lock_ && owner_pid() == ::getpid()) remove_directory(path_);
}

pid_t RuntimeDir::owner_pid() const {
  return read_pid(lock_.get());
}

Status RuntimeDir::write_pid(pid_t pid) {
  const std::string text = std::to_string(pid) + "\n";
  if (::ftruncate(lock_.get(), 0) < 0 ||
      ::pwrite(lock_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return fail_errno(errno, "cannot write {}", (path_ / "pid").string());
  }
  return {};
}

Status RuntimeDir::write_info(std::string_view json) {
  std::ofstream file(path_ / "info.json");
  file << json << '\n';
  file.close();
  if (!file) return fail("cannot write {}", (path_ / "info.json").string());
  return {};
}

std::vector<RunningVm> list_running_vms() {
  std::vector<RunningVm> vms;
  const auto own = own_base();
  for (const fs::path& base : all_bases()) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(base, error)) {
      const std::string name = entry.path().filename().string();
      if (!valid_name(name)) continue;
      if (const pid_t pid = live_pid(entry.path()); pid > 0) {
        vms.push_back({name, pid, entry.path()});
      } else if (own && base == *own) {
        remove_if_stale(entry.path());
      }
    }
  }
  std::sort(vms.begin(), vms.end(), [](const RunningVm& a, const RunningVm& b) { return a.name < b.name; });
  return vms;
}

Result<RunningVm> find_running_vm(std::string_view name) {
  std::string names;
  for (RunningVm& vm : list_running_vms()) {
    if (vm.name == name) return std::move(vm);
    names += (names.empty() ? "" : ", ") + vm.name;
  }
  if (names.empty()) return fail("no VM named {}: none is running", name);
  return fail("no VM named {}; running: {}", name, names);
}

Result<UniqueFd> connect_vm_socket(const fs::path& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "cannot make a socket");
  GB_ASSIGN(const sockaddr_un address, unix_address(path.string()));
  if (::connect(fd.get(), as_sockaddr(address), sizeof(address)) < 0) {
    return fail_errno(errno, "cannot reach the VM at {}", path.string());
  }
  if (!listener_is_owner(fd.get(), path)) {
    return fail("{} is not served by the owner of its directory: not used", path.string());
  }
  return fd;
}

Result<UniqueFd> connect_vsock(const fs::path& vsock_path, unsigned port, int patience_s, int cancel_fd) {
  GB_ASSIGN(UniqueFd fd, connect_vm_socket(vsock_path));
  const std::string request = fmt::format("CONNECT {}\n", port);
  if (!send_all(fd.get(), request)) {
    return fail_errno(errno, "cannot reach the VM at {}", vsock_path.string());
  }
  // Byte by byte: the bytes behind the line belong to the caller.
  std::string answer;
  while (!answer.ends_with('\n')) {
    std::array<pollfd, 2> fds{{{fd.get(), POLLIN, 0}, {cancel_fd, POLLIN, 0}}};
    const int ready = ::poll(fds.data(), fds.size(), patience_s * 1000);
    if (ready < 0 && errno == EINTR) continue;
    if (fds[1].revents != 0) return fail_errno(ECANCELED, "connecting to vsock port {}", port);
    if (ready == 0) errno = EAGAIN;
    char byte = 0;
    const ssize_t n = ready > 0 ? ::recv(fd.get(), &byte, 1, 0) : -1;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "the guest does not answer on vsock port {}", port);
    if (n == 0 || answer.size() > 32) {
      return fail(
          "the guest refuses vsock port {}: no program listens there, or it is too busy to take one more "
          "connection",
          port);
    }
    answer.push_back(byte);
  }
  if (!answer.starts_with("OK "))
    return fail("the VM's socket answered \"{}\" to CONNECT, expected OK", printable(answer));
  return fd;
}

}  // namespace glassbox
