// Every script of tools/bpftrace on a live VM: each while the guest runs cycles against an echo server.
#include <elf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "bpf/sdt_notes.h"
#include "tests/system/bench/live_vm.h"

namespace glassbox::bench::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kCycles = 20;
constexpr std::uint8_t kBreakpoint = 0xcc;

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Where the program of `pid` is loaded, if it can be loaded anywhere; 0 if it is linked to an address.
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

// Addresses in `pid` of the probes that the script names.
std::vector<std::uint64_t> sites(const std::string& script, pid_t pid, const std::string& program) {
  std::set<std::string> names;
  const std::string text = read_file(script);
  constexpr std::string_view kProvider = "glassbox:";
  for (std::size_t at = text.find(kProvider); at != std::string::npos; at = text.find(kProvider, at)) {
    at += kProvider.size();
    names.insert(text.substr(at, text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", at) - at));
  }
  const auto notes = trace::read_sdt_notes(program);
  EXPECT_TRUE(notes.has_value());
  const std::uint64_t base = load_address(pid, program);
  std::vector<std::uint64_t> found;
  for (const trace::SdtNote& note : *notes) {
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

// Values in the histograms whose name begins with `name`.
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

// Map entries that are printed more than once: their keys differ in bytes that nobody sees.
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

TEST(BpftraceLive, EveryScriptSaysSomethingOfARunningGuest) {
  if (run({"bpftrace", "--version"}).status != 0) GTEST_SKIP() << "bpftrace is not installed";
  if (const std::string why = why_no_traced_guest(); !why.empty()) GTEST_SKIP() << why;
  const LiveVm vm("bpftrace-test", {"--allow-host-loopback"});
  ASSERT_GT(vm.pid(), 0);
  const EchoThread server;

  // One after the other: they share probes, and a breakpoint does not tell whose it is.
  std::map<std::string, std::string> outputs;
  for (const auto& entry : std::filesystem::directory_iterator(source_dir() / "tools/bpftrace")) {
    if (entry.path().extension() != ".bt") continue;
    const std::string name = entry.path().filename();
    SCOPED_TRACE(name);
    const auto script = Child::start(
        {.what = name, .argv = {entry.path(), "-p", std::to_string(vm.pid())}, .stop_signal = SIGINT});
    ASSERT_TRUE(script.has_value());
    const auto addresses = sites(entry.path(), vm.pid(), program_path("glassbox"));
    while (!attached(vm.pid(), addresses))
      ASSERT_FALSE((*script)->wait(20)) << (*script)->err();
    const Outcome cycles =
        vm.exec({"gb-crr", "10.0.2.2", server.port(), "--cycles", std::to_string(kCycles)});
    ASSERT_EQ(cycles.status, 0) << cycles.err;
    EXPECT_EQ((*script)->stop(120'000).code, 0) << (*script)->err();
    outputs[name] = (*script)->out();
    EXPECT_THAT(repeated_entries(outputs[name]), ::testing::IsEmpty());
    std::printf("--- %s\n%s", name.c_str(), outputs[name].c_str());
  }
  ASSERT_GE(outputs.size(), 4U);
  EXPECT_EQ(counter(outputs["cycle-phases.bt"], "@cycles"), kCycles);
  EXPECT_EQ(histogram_total(outputs["connect-latency.bt"], "@connect_us"), kCycles);
  EXPECT_GE(histogram_total(outputs["net-poll-wait.bt"], "@wait_us"), kCycles);
  EXPECT_GE(counter(outputs["frames-per-wake.bt"], "@wakes"), kCycles);
  EXPECT_THAT(outputs["drops.bt"], HasSubstr("@flows_closed"));
}

}  // namespace
}  // namespace glassbox::bench::testing
