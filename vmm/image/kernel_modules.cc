#include "vmm/image/kernel_modules.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

#include "vmm/base/compressed_file.h"

namespace glassbox {
namespace {

// Modules for the virtual hardware. A kernel that has one of them built in has no file for it; it is skipped.
constexpr std::string_view kGuestModules[] = {"virtio_pci", "virtio_net",   "vmw_vsock_virtio_transport",
                                              "virtio-rng", "pvpanic-mmio", "pvpanic-pci"};

// The kernel's "a-b.ko" is the module a_b: either may be the name of its file.
std::string module_name(std::string_view path) {
  std::string name(path.substr(path.rfind('/') + 1));
  name.resize(std::min(name.size(), name.find('.')));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// Unpacked, because not every kernel unpacks modules itself.
Status add_module(CpioWriter& image, const std::string& name, const std::string& path) {
  if (unpacker_of(path).empty()) return image.add_file_from(name, 0644, path);
  GB_ASSIGN(const UniqueFd content, unpack_file(path));
  return image.add_file_from(name, 0644, fmt::format("/proc/self/fd/{}", content.get()));
}

}  // namespace

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
    by_name[module_name(path)] = path;
  }
  std::vector<std::string> order;
  std::set<std::string> done;
  for (const std::string_view name : kGuestModules) {
    const auto found = by_name.find(module_name(name));
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
    const std::string name(unpacked_name(path));
    GB_TRY(add_module(image, root + "/" + name, dir + "/" + path));
    list += "/" + root + "/" + name + "\n";
    dep += name + ":\n";
  }
  GB_TRY(image.add_file(root + "/modules.dep", 0644, dep));
  return image.add_file("etc/glassbox/modules", 0644, list);
}

Result<std::vector<char>> pack_modules(const std::string& dir, const std::string& release) {
  GB_ASSIGN(CpioWriter image, CpioWriter::create());
  for (const char* parent : {"lib", "lib/modules", "etc", "etc/glassbox"})
    GB_TRY(image.add_directory(parent, 0755));
  GB_TRY(add_modules(image, dir, release));
  return image.finish();
}

std::optional<std::filesystem::path> find_modules(const std::filesystem::path& kernel,
                                                  const std::string& release) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path real = fs::canonical(kernel, error);
  const std::array<fs::path, 5> places = {
      kernel.parent_path() / "modules", real.parent_path().parent_path() / "lib/modules",
      real.parent_path().parent_path() / "usr/lib/modules", "/lib/modules", "/usr/lib/modules"};
  for (const fs::path& place : places)
    if (fs::exists(place / release / "modules.dep", error)) return place / release;
  return std::nullopt;
}

}  // namespace glassbox
