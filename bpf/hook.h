// A hook that a tracer wanted, and whether it has it.
//
// Trace files and the agent's protocol have hooks as lines: "rx_inject usdt", "tcp_syn usdt 2 sites",
// "irq_raise missing the program has no such probe". Only these two functions know that form.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace glassbox::bpf {

struct Hook {
  std::string name;    // "rx_inject", "inet_sock_set_state"
  std::string how;     // "usdt", "tp_btf", "kprobe", ...; empty if it is not attached
  std::string remark;  // why it is not attached, or how many sites a probe has; may be empty
  bool attached = true;
  friend bool operator==(const Hook&, const Hook&) = default;
};

inline constexpr std::string_view kNotAttached = "missing";

[[nodiscard]] inline std::string hook_line(const Hook& hook) {
  std::string line = hook.name;
  const std::string_view how = hook.attached ? std::string_view(hook.how) : kNotAttached;
  for (const std::string_view word : {how, std::string_view(hook.remark)})
    if (!word.empty()) (line += ' ') += word;
  return line;
}

// Takes any text: what a line does not have stays empty.
[[nodiscard]] inline Hook parse_hook(std::string_view line) {
  const auto take_word = [&line] {
    const std::string_view word = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(word.size() + 1, line.size()));
    return std::string(word);
  };
  Hook hook;
  hook.name = take_word();
  hook.how = take_word();
  hook.remark = line;
  if (hook.how != kNotAttached) return hook;
  hook.how.clear();
  hook.attached = false;
  return hook;
}

}  // namespace glassbox::bpf
