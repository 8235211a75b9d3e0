#include "tests/system/bench/bpftrace_script.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "bpf/sdt_notes.h"
#include "tests/system/bench/system_test.h"

namespace glassbox::bench::testing {
namespace {

constexpr std::uint8_t kBreakpoint = 0xcc;

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// The address where the program of `pid` is loaded; 0 for a program that is linked to a fixed address.
std::uint64_t load_address(pid_t pid, const std::string& program) {
  Elf64_Ehdr header{};
  std::ifstream(program, std::ios::binary).read(reinterpret_cast<char*>(&header), sizeof(header));
  if (header.e_type != ET_DYN) return 0;
  std::ifstream maps(fmt::format("/proc/{}/maps", pid));
  for (std::string line; std::getline(maps, line);) {
    if (line.ends_with(program)) return std::stoull(line, nullptr, 16);
  }
  ADD_FAILURE() << program << " is not mapped by " << pid;
  return 0;
}

// Addresses, in the process `pid`, of the probes that the script names.
std::vector<std::uint64_t> sites(const std::string& script, pid_t pid, const std::string& program) {
  std::set<std::string> names;
  const std::string text = read_file(script);
  constexpr std::string_view kProvider = "glassbox:";
  for (std::size_t at = text.find(kProvider); at != std::string::npos; at = text.find(kProvider, at)) {
    at += kProvider.size();
    names.insert(text.substr(at, text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", at) - at));
  }
  const auto notes = bpf::read_sdt_notes(program);
  EXPECT_TRUE(notes.has_value());
  const std::uint64_t base = load_address(pid, program);
  std::vector<std::uint64_t> found;
  for (const bpf::SdtNote& note : *notes) {
    if (names.contains(note.name)) found.push_back(base + note.site);
  }
  EXPECT_GE(found.size(), names.size()) << script;
  return found;
}

bool attached(pid_t pid, const std::vector<std::uint64_t>& addresses) {
  const UniqueFd memory(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
  return std::all_of(addresses.begin(), addresses.end(), [&](std::uint64_t address) {
    std::uint8_t byte = 0;
    return ::pread(memory.get(), &byte, 1, static_cast<off_t>(address)) == 1 && byte == kBreakpoint;
  });
}

// bpftrace 0.17 prints an error when it detaches and tracefs is not mounted, as in a minimal system.
std::vector<std::string> with_tracefs(std::vector<std::string> argv) {
  if (::access("/sys/kernel/tracing/events", F_OK) == 0) return argv;
  argv.insert(argv.begin(), {"unshare", "--mount", "sh", "-c",
                             "mount -t tracefs tracefs /sys/kernel/tracing && exec \"$@\"", "sh"});
  return argv;
}

}  // namespace

std::string run_script(const std::filesystem::path& script, pid_t pid, const std::string& program,
                       const std::function<void()>& work) {
  const auto child = Child::start({.what = script.filename(),
                                   .argv = with_tracefs({script, "-p", std::to_string(pid)}),
                                   .stop_signal = SIGINT});
  if (!child) {
    ADD_FAILURE() << child.error().message;
    return {};
  }
  const auto addresses = sites(script, pid, program);
  while (!attached(pid, addresses)) {
    if ((*child)->wait(20)) {
      ADD_FAILURE() << script << ": " << (*child)->err();
      return {};
    }
  }
  work();
  EXPECT_EQ((*child)->stop(120'000).code, 0) << (*child)->err();
  return (*child)->out();
}

int histogram_total(const std::string& output, const std::string& name) {
  std::istringstream lines(output);
  int total = 0;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("@")) inside = line.starts_with(name);
    const bool bucket = line.starts_with("[") || line.starts_with("(");  // "[256, 512)   9 |@@@ |"
    if (inside && bucket) total += std::stoi(line.substr(line.find_first_of(")]") + 1));
  }
  return total;
}

std::vector<std::string> repeated_entries(const std::string& output) {
  std::istringstream lines(output);
  std::map<std::string, int> seen;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("@")) ++seen[line.substr(0, line.find(": "))];
  }
  std::vector<std::string> repeated;
  for (const auto& [name, count] : seen) {
    if (count > 1) repeated.push_back(name);
  }
  return repeated;
}

int counter(const std::string& output, const std::string& name) {
  const std::size_t at = output.find(name + ": ");
  return at == std::string::npos ? 0 : std::stoi(output.substr(at + name.size() + 2));
}

}  // namespace glassbox::bench::testing
