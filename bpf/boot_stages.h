// The boot stages of bpf/boot_stages.def: the monitor gives them, the benchmark reads them.
#pragma once

#include <cstdint>

namespace glassbox {

enum class BootStage : std::uint32_t {
#define GB_BOOT_STAGE(number, name, meaning) name = number,
#include "bpf/boot_stages.def"
};

}  // namespace glassbox
