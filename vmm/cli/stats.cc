// glassbox stats NAME: the figures of a running VM.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "vmm/base/printable.h"
#include "vmm/cli/command.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/remote.h"
#include "vmm/cli/stats.h"

namespace glassbox::cli {
namespace {

constexpr int kAnswerMs = 10'000;
constexpr std::size_t kMaxAnswer = 64 * 1024;

struct StatsOptions {
  std::string name;
  bool json = false;
  unsigned watch_s = 0;
};

Result<std::string> ask(const std::filesystem::path& socket) {
  GB_ASSIGN(const UniqueFd fd, connect_vm_socket(socket));
  std::string text;
  while (text.size() <= kMaxAnswer) {
    pollfd ready{fd.get(), POLLIN, 0};
    if (::poll(&ready, 1, kAnswerMs) == 0) return fail("the VM does not answer at {}", socket.string());
    std::array<char, 4096> bytes;
    const ssize_t got = ::recv(fd.get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "cannot read from {}", socket.string());
    if (got == 0) return text;
    text.append(bytes.data(), static_cast<std::size_t>(got));
  }
  return fail("the VM's answer is malformed: expected at most {} bytes", kMaxAnswer);
}

int stats(const StatsOptions& options, int argc, char** argv) {
  const auto vm = find_vm_or_carry_on(options.name, argc, argv);
  if (!vm) return report(vm.error(), kExitFailure);
  const auto watch = VmWatch::open(*vm);
  if (!watch) return report(watch.error(), kExitFailure);
  for (;;) {
    const auto answer = ask(vm->dir / kStatsSocket);
    if (!answer) return report(answer.error(), kExitFailure);
    const auto text = format_stats(*answer, options.json);
    if (!text) return report(text.error(), kExitFailure);
    if (const int status = print(*text); status != 0) return status;
    if (options.watch_s == 0) return 0;
    if (watch->wait(static_cast<int>(options.watch_s) * 1000)) return 0;
  }
}

void append_stats(std::string& out, const std::string& prefix, const nlohmann::json& object) {
  for (const auto& [key, value] : object.items()) {
    const std::string name = prefix + printable(key, 100);
    if (value.is_object()) append_stats(out, name + ": ", value);
    if (value.is_number() || value.is_boolean()) out += fmt::format("{:<50} {}\n", name, value.dump());
    if (value.is_string()) out += fmt::format("{:<50} {}\n", name, printable(value.get<std::string>(), 100));
  }
}

}  // namespace

Result<std::string> format_stats(std::string_view answer, bool as_json) {
  const auto object = nlohmann::json::parse(answer, nullptr, false);
  if (!object.is_object()) return fail("the VM's answer is malformed: expected one JSON object");
  // ASCII only: a control character of another user's VM must not reach the terminal.
  if (as_json) return object.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
  std::string out;
  append_stats(out, "", object);
  return out;
}

void add_stats(Cli& cli) {
  auto options = std::make_shared<StatsOptions>();
  options::App* command = cli.app.add_subcommand("stats", "Print what a running VM has counted");
  command->add_option("name", options->name, "Name of the VM; glassbox ls lists them")->required();
  command->add_flag("--json", options->json, "One JSON object, on one line");
  command->add_option("--watch", options->watch_s, "Again every so many seconds, until the VM ends")
      ->check(options::range(1, 86'400));
  command->footer(
      "Exits to the monitor, resident memory, frames, flows, DNS, and what the NAT closed, refused and "
      "dropped,\nsince the start. Exit status: 0, or 1 if there is no such VM.");
  command->callback(
      [&cli, options] { cli.action = [&cli, options] { return stats(*options, cli.argc, cli.argv); }; });
}

}  // namespace glassbox::cli
