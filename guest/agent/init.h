// What PID 1 does before it serves: file systems, kernel modules, host name, network.
//
// Nothing here is fatal: each step that fails says so on the console and the boot goes on, since a guest with
// one device less is still one that can be looked at.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace glassbox::agent {

// Mounts, loads modules in the order of /etc/glassbox/modules, brings up lo and eth0.
void init_system();

// Syncs and turns the machine off (ACPI S5) or restarts it; does not return.
[[noreturn]] void power_off();
[[noreturn]] void restart();

// A line on the console.
void say_line(std::string_view line);
template <typename... Args>
void say(fmt::format_string<Args...> text, Args&&... args) {
  say_line(fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace glassbox::agent
