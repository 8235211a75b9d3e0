// Runs of BPF programs that the kernel skipped because the program was running already on that CPU: it counts
// them, and nothing else tells of them, since a program that did not run takes no sequence number.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <map>
#include <string>
#include <string_view>

namespace glassbox::trace {

// By hook, those that have any: "tp_btf/inet_sock_set_state"; of a USDT probe its name alone.
inline std::map<std::string, std::uint64_t> recursion_misses(bpf_object* object) {
  constexpr std::string_view kUsdtPrefix = "usdt_";
  std::map<std::string, std::uint64_t> misses;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) {
    bpf_prog_info info{};
    __u32 size = sizeof(info);
    const int fd = bpf_program__fd(program);
    if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) != 0 || info.recursion_misses == 0) continue;
    std::string_view name = bpf_program__name(program);
    if (name.starts_with(kUsdtPrefix))
      name.remove_prefix(kUsdtPrefix.size());
    else
      name = bpf_program__section_name(program);
    misses[std::string(name)] += info.recursion_misses;
  }
  return misses;
}

}  // namespace glassbox::trace
