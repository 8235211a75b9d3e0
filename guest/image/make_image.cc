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
#include <sstream>
#include <string>
#include <vector>

#include "vmm/image/cpio_writer.h"
#include "vmm/image/kernel_modules.h"

namespace glassbox {
namespace {

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
