// What PID 1 does before it serves: file systems, kernel modules, host name, network.
//
// A step that fails writes one line to the console and the boot continues, because a guest that lacks a
// device can still be inspected. But a guest that got only half of its files is not fit to be used: the host
// is told so. Thread: the main thread, before others exist.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace glassbox::agent {

// Mounts file systems, loads the modules of /etc/glassbox/modules in that order, sets the host name and the
// clock, and brings lo and eth0 up. Returns why the guest is not fit to be used; empty if it is.
[[nodiscard]] std::string init_system();

// Whether the kernel's command line has the word. The part behind "NAME=", or nothing.
[[nodiscard]] bool is_on_command_line(std::string_view word);
[[nodiscard]] std::string command_line_value(std::string_view name);

// Syncs file systems, then powers the machine off (ACPI S5) or restarts it.
[[noreturn]] void power_off();
[[noreturn]] void restart();

// Writes "glassbox-agent: <line>" to the console (stderr).
void say_line(std::string_view line);
template <typename... Args>
void say(fmt::format_string<Args...> text, Args&&... args) {
  say_line(fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace glassbox::agent
