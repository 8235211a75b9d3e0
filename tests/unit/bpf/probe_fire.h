// Fires every probe of probes.def with values that tell probe, argument and type apart: the extremes of each
// type are near, negative i32 included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace glassbox::bpf {

// The value that fire_all_probes() passes as argument `index` (from 0) of event kind `kind`, as it must
// arrive: sign-extended to 64 bits.
std::uint64_t fired_value(std::string_view type, std::uint16_t kind, std::size_t index);

// Each probe once, in the order of probes.def.
void fire_all_probes();

}  // namespace glassbox::bpf
