// glassbox ls: lists the running VMs, here and in the lab.
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "vmm/base/printable.h"
#include "vmm/base/runtime_dir.h"
#include "vmm/cli/command.h"
#include "vmm/cli/remote.h"

namespace glassbox::cli {
namespace {

using nlohmann::json;

// The monitor's description of its VM. If it is missing, or malformed (it may be another user's file), only
// the name and the pid are given, which list_running_vms() has checked.
json describe(const RunningVm& vm) {
  json result = {{"name", vm.name},         {"pid", vm.pid},         {"where", "here"},
                 {"vcpus", nullptr},        {"memory_mib", nullptr}, {"started_at", nullptr},
                 {"command", json::array()}};
  std::ifstream file(vm.dir / "info.json");
  const json info = json::parse(file, nullptr, false);
  if (!info.is_object()) return result;
  for (const char* key : {"vcpus", "memory_mib", "started_at"}) {
    if (info.contains(key) && info[key].is_number_integer()) result[key] = info[key];
  }
  if (info.contains("command") && info["command"].is_array()) result["command"] = info["command"];
  return result;
}

json all_vms() {
  json vms = json::array();
  for (const RunningVm& vm : list_running_vms())
    vms.push_back(describe(vm));
  const json there = json::parse(list_in_lab(), nullptr, false);
  if (!there.is_array()) return vms;
  for (json vm : there) {
    if (!vm.is_object() || !vm.contains("name")) continue;
    vm["where"] = "lab";
    vms.push_back(std::move(vm));
  }
  return vms;
}

std::string number(const json& value) {
  return value.is_number() ? value.dump() : "-";
}

std::string age(const json& started_at) {
  if (!started_at.is_number_integer()) return "-";
  const std::int64_t s = std::max<std::int64_t>(0, std::time(nullptr) - started_at.get<std::int64_t>());
  if (s < 120) return fmt::format("{} s", s);
  if (s < 7200) return fmt::format("{} min", s / 60);
  return fmt::format("{} h", s / 3600);
}

std::string words(const json& command) {
  constexpr std::size_t kShown = 40;
  std::string text;
  for (const json& word : command) {
    if (word.is_string()) text += (text.empty() ? "" : " ") + printable(word.get<std::string>(), kShown);
    if (text.size() >= kShown) break;
  }
  return text.empty() ? "-" : text.substr(0, kShown);
}

// Of a VM in the lab, whose list is another process's word.
std::string text_of(const json& vm, const char* key) {
  return vm.contains(key) && vm[key].is_string() ? printable(vm[key].get<std::string>()) : "?";
}

int ls(bool as_json) {
  const json vms = all_vms();
  if (as_json) {
    // ASCII only: a control character of another user's VM must not reach the terminal.
    return print(vms.dump(2, ' ', true, json::error_handler_t::replace) + "\n");
  }
  constexpr const char* kRow = "{:<20} {:>8} {:>5} {:>7} {:>8} {:<5} {}\n";
  std::string table =
      fmt::format(fmt::runtime(kRow), "NAME", "PID", "VCPUS", "MEMORY", "UP", "WHERE", "COMMAND");
  for (const json& vm : vms) {
    const auto value = [&vm](const char* key) { return vm.contains(key) ? vm[key] : json(); };
    table += fmt::format(fmt::runtime(kRow), text_of(vm, "name"), number(value("pid")),
                         number(value("vcpus")), number(value("memory_mib")), age(value("started_at")),
                         text_of(vm, "where"), words(value("command")));
  }
  return print(table);
}

}  // namespace

void add_ls(Cli& cli) {
  auto as_json = std::make_shared<bool>(false);
  options::App* command = cli.app.add_subcommand("ls", "List the running VMs");
  command->add_flag("--json", *as_json, "As a JSON array");
  command->footer(
      "PIDs of VMs in the lab are the lab's. MEMORY is in MiB. Exit status: 0, also if none runs.");
  command->callback([&cli, as_json] { cli.action = [as_json] { return ls(*as_json); }; });
}

}  // namespace glassbox::cli
