#include "tools/trace/report/probes_page.h"

#include <fmt/format.h>

#include "tools/trace/file/kinds.h"

namespace glassbox::trace {
namespace {

std::string one_line(const bpf::ArgumentInfo& arg) {
  if (arg.type.empty()) return fmt::format("`{}`", arg.name);
  return fmt::format("`{} {}` {}", arg.type, arg.name, arg.meaning);
}

std::string rows(std::span<const bpf::EventInfo> events, bool guest) {
  std::string text = "| name | kind | fires | arguments |\n|---|---|---|---|\n";
  for (const bpf::EventInfo& info : events) {
    if (is_guest_kind(info.kind) != guest) continue;
    std::string arguments;
    for (const bpf::ArgumentInfo& arg : info.arguments)
      if (arg.name != "-") arguments += (arguments.empty() ? "" : "<br>") + one_line(arg);
    text += fmt::format("| {} | {} | {} | {} |\n", info.name, info.kind, info.fires, arguments);
  }
  return text;
}

}  // namespace

std::string probes_text() {
  std::string text;
  for (const auto list : {bpf::probes(), bpf::kernel_events()}) {
    for (const bpf::EventInfo& info : list) {
      text += fmt::format("{:<28} {:>3}  {}\n", info.name, info.kind, info.fires);
      for (const bpf::ArgumentInfo& arg : info.arguments) {
        if (arg.name != "-")
          text += fmt::format("{:34}{} {}{}{}\n", "", arg.type.empty() ? "u64" : arg.type, arg.name,
                              arg.meaning.empty() ? "" : ": ", arg.meaning);
      }
    }
  }
  return text;
}

std::string probes_markdown() {
  return fmt::format(
      "# Probes and events\n\n"
      "Made by `glassbox-trace probes --markdown` from `bpf/probes.def` and `bpf/events.def`; a test holds "
      "it\n"
      "to them. All of them exist since the first version of the interface (event version {}). Arguments "
      "and\n"
      "kinds are append-only. Ports and addresses are in host byte order, addresses in two 64-bit halves, "
      "IPv4\n"
      "mapped (`::ffff:a.b.c.d`); `flow` is never reused within a process and 0 for a frame of no flow.\n\n"
      "## USDT probes of glassbox (provider `glassbox`)\n\n"
      "One-byte nops until somebody listens, no semaphores, no time stamps: BPF takes the time.\n\n"
      "{}\n## Kernel events of the host\n\nAll arguments are 64-bit. For the traced process and the servers "
      "at the other\nend of its connections only.\n\n{}\n## Events of the guest\n\n"
      "Recorded by the agent's BPF programs, on the guest's clock. All arguments are 64-bit.\n\n{}",
      GB_EVENT_VERSION, rows(bpf::probes(), false), rows(bpf::kernel_events(), false),
      rows(bpf::kernel_events(), true));
}

}  // namespace glassbox::trace
