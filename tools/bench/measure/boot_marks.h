// When the processes of a boot passed what can be seen from outside: the first entry into the guest
// (tracepoint kvm_entry, any monitor) and glassbox's boot_mark probes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "vmm/base/result.h"

namespace glassbox::bench {

class BootMarks {
 public:
  static constexpr std::uint32_t kFirstEntry = 0;  // in place of a stage (bpf/boot_stages.h)

  // Attached until destroyed; `monitor` is the path of glassbox. Needs root.
  [[nodiscard]] static Result<std::unique_ptr<BootMarks>> attach(const std::string& monitor);
  virtual ~BootMarks() = default;
  // CLOCK_MONOTONIC nanoseconds by stage.
  [[nodiscard]] virtual std::map<std::uint32_t, std::uint64_t> of(pid_t pid) const = 0;
};

}  // namespace glassbox::bench
