// USDT probe emitters, generated from bpf/probes.def: glassbox::probe::rx_inject(flow, seq, len, flags, idx).
//
// A probe that nothing listens to costs one nop, provided that its arguments are in registers or memory
// already. So pass only values that you have; pass a value in memory from there. An operand is an immediate,
// a register, or memory at a register plus a displacement. libbpf 1.1 reads neither an index (SIB) nor
// anything relative to %rip, and the ABI test rejects both. clang gets registers only: if memory were
// allowed, it would first store every argument to the stack. No semaphores (_SDT_HAS_SEMAPHORES).
//
// A build that measures the cost of the probes replaces the backend: GLASSBOX_PROBE_BACKEND names a header
// that defines GB_EMIT(name, arguments...). tests/unit/bpf has two of them.
#pragma once

#include <cstdint>

#include "bpf/for_each.h"

#ifdef GLASSBOX_PROBE_BACKEND
#include GLASSBOX_PROBE_BACKEND
#else
#ifdef _SDT_HAS_SEMAPHORES
#error "glassbox probes have no semaphores"
#endif
#ifdef __clang__
#define STAP_SDT_ARG_CONSTRAINT nr
#else
#define STAP_SDT_ARG_CONSTRAINT nor
#endif
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define GB_EMIT(name, ...) STAP_PROBEV(glassbox, name, __VA_ARGS__)
#endif

namespace glassbox::probe {

using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i32 = std::int32_t;

// An argument that the backend does not look at is not a mistake of the caller.
#define GB_PARAMETER(arg) GB_PARAMETER_ arg
#define GB_PARAMETER_(type, name, meaning) [[maybe_unused]] type name
#define GB_VALUE(arg) GB_VALUE_ arg
#define GB_VALUE_(type, name, meaning) name
#define GB_PROBE(name, fires, ...)                                              \
  [[gnu::always_inline]] inline void name(GB_LIST(GB_PARAMETER, __VA_ARGS__)) { \
    GB_EMIT(name, GB_LIST(GB_VALUE, __VA_ARGS__));                              \
  }

#include "bpf/probes.def"

#undef GB_PARAMETER
#undef GB_PARAMETER_
#undef GB_VALUE
#undef GB_VALUE_
#undef GB_EMIT

}  // namespace glassbox::probe
