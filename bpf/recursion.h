// Runs of BPF programs that the kernel skipped, because the program was already running on that CPU. The
// kernel's count is the only trace of them: a program that did not run takes no sequence number.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <map>
#include <string>
#include <string_view>

namespace glassbox::bpf {

// The counts that are not 0, by hook: "tp_btf/inet_sock_set_state", or the name alone of a USDT probe.
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

}  // namespace glassbox::bpf
