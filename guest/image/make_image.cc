// make-image: builds the default guest image, an initramfs (cpio, newc) of busybox, the agent as /init,
// gb-crr and the kernel modules that the virtual hardware needs.
//
//   make-image --out FILE --busybox FILE --agent FILE --crr FILE --modules DIR --release RELEASE
//
// DIR is lib/modules/RELEASE of the guest's kernel and has modules.dep in it. The modules go where modprobe
// looks for them. /etc/glassbox/modules lists them, dependencies first: the agent loads what that file names.
// The same input makes the same bytes.
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "vmm/image/cpio_writer.h"

namespace glassbox {
namespace {

// Modules for the virtual hardware. A kernel that has one of them built in has no file for it; it is skipped.
constexpr std::string_view kModules[] = {"virtio_pci", "virtio_net",   "vmw_vsock_virtio_transport",
                                         "virtio-rng", "pvpanic-mmio", "pvpanic-pci"};

constexpr std::string_view kDirectories[] = {
    "bin",     "dev",       "etc",           "etc/glassbox", "lib", "lib64",  "lib/modules", "mnt",
    "proc",    "root",      "run",           "sbin",         "srv", "sys",    "usr",         "usr/bin",
    "usr/lib", "usr/local", "usr/local/bin", "usr/sbin",     "var", "var/log"};

struct TextFile {
  const char* name;
  const char* content;
};

constexpr TextFile kTextFiles[] = {
    {"etc/hostname", "glassbox\n"},
    {"etc/hosts", "127.0.0.1 localhost\n10.0.2.15 glassbox\n10.0.2.2 gateway\n::1 localhost\n"},
    {"etc/resolv.conf", "nameserver 10.0.2.3\n"},
    {"etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"},
    {"etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"},
    {"etc/shells", "/bin/sh\n"},
    {"etc/services", "echo 7/tcp\nssh 22/tcp\ndomain 53/udp\nhttp 80/tcp\nhttps 443/tcp\n"},
    {"etc/profile", "export PS1='\\u@\\h:\\w\\$ '\nalias ll='ls -l'\n"},
};

// The command line: option name to value.
struct ImageArguments {
  std::map<std::string, std::string, std::less<>> values;
  [[nodiscard]] const std::string& operator[](std::string_view name) const {
    return values.find(name)->second;
  }
};

// The paths of the wanted modules and of all that they depend on, dependencies first, relative to `dir`.
Result<std::vector<std::string>> module_order(const std::string& dir) {
  std::map<std::string, std::vector<std::string>> needs;    // path -> paths, nearest last
  std::map<std::string, std::string, std::less<>> by_name;  // module name -> path
  std::ifstream dep(dir + "/modules.dep");
  if (!dep) return fail("cannot read {}/modules.dep; run guest/kernel-fetch", dir);
  for (std::string line; std::getline(dep, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string path = line.substr(0, colon);
    std::istringstream rest(line.substr(colon + 1));
    for (std::string need; rest >> need;)
      needs[path].push_back(need);
    const std::string file = path.substr(path.rfind('/') + 1);
    by_name[file.substr(0, file.find('.'))] = path;
  }
  std::vector<std::string> order;
  std::set<std::string> done;
  for (const std::string_view name : kModules) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) continue;
    // modules.dep lists all dependencies of a module; the last one must be loaded first.
    const auto& list = needs[found->second];
    for (auto need = list.rbegin(); need != list.rend(); ++need) {
      if (done.insert(*need).second) order.push_back(*need);
    }
    if (done.insert(found->second).second) order.push_back(found->second);
  }
  return order;
}

Status add_modules(CpioWriter& image, const std::string& dir, const std::string& release) {
  GB_ASSIGN(const std::vector<std::string> order, module_order(dir));
  const std::string root = "lib/modules/" + release;
  std::set<std::string> parents;
  std::string list, dep;
  GB_TRY(image.add_directory(root, 0755));
  for (const std::string& path : order) {
    for (std::size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
      const std::string parent = root + "/" + path.substr(0, at);
      if (parents.insert(parent).second) GB_TRY(image.add_directory(parent, 0755));
    }
    GB_TRY(image.add_file_from(root + "/" + path, 0644, dir + "/" + path));
    list += "/" + root + "/" + path + "\n";
    dep += path + ":\n";
  }
  GB_TRY(image.add_file(root + "/modules.dep", 0644, dep));
  return image.add_file("etc/glassbox/modules", 0644, list);
}

// Adds busybox and a link for each applet, at the path that busybox itself lists.
Status add_applets(CpioWriter& image, const std::string& busybox) {
  GB_TRY(image.add_file_from("bin/busybox", 0755, busybox));
  std::FILE* pipe = ::popen(("'" + busybox + "' --list-full").c_str(), "r");
  if (pipe == nullptr) return fail("cannot run {}", busybox);
  std::string names;
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
    names.append(buffer.data(), n);
  if (::pclose(pipe) != 0) return fail("{} --list-full failed; install busybox-static", busybox);
  std::istringstream lines(names);
  for (std::string name; std::getline(lines, name);) {
    if (name == "linuxrc" || name == "bin/busybox" || name == "sbin/init") continue;
    GB_TRY(image.add_symlink(name, "/bin/busybox"));
  }
  return image.add_symlink("sbin/init", "/init");
}

Status make(const ImageArguments& arguments) {
  GB_ASSIGN(CpioWriter image, CpioWriter::create());
  for (const std::string_view dir : kDirectories)
    GB_TRY(image.add_directory(dir, dir == "root" ? 0700 : 0755));
  GB_TRY(image.add_directory("tmp", 01777));
  GB_TRY(image.add_char_device("dev/console", 0600, 5, 1));
  GB_TRY(image.add_char_device("dev/null", 0666, 1, 3));
  GB_TRY(image.add_file_from("init", 0755, arguments["--agent"]));
  GB_TRY(image.add_file_from("bin/gb-crr", 0755, arguments["--crr"]));
  for (const TextFile& file : kTextFiles)
    GB_TRY(image.add_file(file.name, 0644, file.content));
  GB_TRY(image.add_symlink("etc/mtab", "/proc/mounts"));
  GB_TRY(add_applets(image, arguments["--busybox"]));
  GB_TRY(add_modules(image, arguments["--modules"], arguments["--release"]));
  GB_ASSIGN(const std::vector<char> bytes, image.finish());

  // Written under another name and renamed, so that an interrupted build leaves no half image.
  const std::string& out = arguments["--out"];
  std::ofstream file(out + ".new", std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file || std::rename((out + ".new").c_str(), out.c_str()) != 0)
    return fail_errno(errno, "cannot write {}", out);
  return {};
}

int run(int argc, char** argv) {
  ImageArguments arguments;
  for (int i = 1; i + 1 < argc; i += 2)
    arguments.values[argv[i]] = argv[i + 1];
  for (const char* name : {"--out", "--busybox", "--agent", "--crr", "--modules", "--release"}) {
    if (!arguments.values.contains(name)) {
      fmt::print(stderr, "make-image: option {} is missing\n", name);
      return 2;
    }
  }
  const Status status = make(arguments);
  if (!status) fmt::print(stderr, "make-image: {}\n", status.error().message);
  return status ? 0 : 1;
}

}  // namespace
}  // namespace glassbox

int main(int argc, char** argv) {
  return glassbox::run(argc, argv);
}
