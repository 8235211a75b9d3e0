// USDT probe emitters, generated from bpf/probes.def: glassbox::probe::rx_inject(flow, seq, len, flags, idx).
//
// A probe that nobody listens to costs one nop if its arguments lie in registers or in memory anyway: pass
// only values already in hand, from memory where that is where they are. An operand is an immediate, a
// register or memory at a register and a displacement; libbpf 1.1 reads no index (SIB) and nothing relative
// to %rip, and the ABI test rejects both. clang would first store every argument to the stack if memory were
// allowed, so it gets registers only. No semaphores: _SDT_HAS_SEMAPHORES must stay undefined.
//
// A build that measures what the probes cost names another backend, a header that defines
// GB_EMIT(name, arguments...): see tests/unit/bpf.
#pragma once

#include <cstdint>

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

#define GB_FN [[gnu::always_inline]] inline void

#define GB_PROBE1(name, doc, t1, a1, d1) \
  GB_FN name([[maybe_unused]] t1 a1) {   \
    GB_EMIT(name, a1);                   \
  }
#define GB_PROBE2(name, doc, t1, a1, d1, t2, a2, d2)           \
  GB_FN name([[maybe_unused]] t1 a1, [[maybe_unused]] t2 a2) { \
    GB_EMIT(name, a1, a2);                                     \
  }
#define GB_PROBE3(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3)                       \
  GB_FN name([[maybe_unused]] t1 a1, [[maybe_unused]] t2 a2, [[maybe_unused]] t3 a3) { \
    GB_EMIT(name, a1, a2, a3);                                                         \
  }
#define GB_PROBE4(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, a4, d4)         \
  GB_FN name([[maybe_unused]] t1 a1, [[maybe_unused]] t2 a2, [[maybe_unused]] t3 a3, \
             [[maybe_unused]] t4 a4) {                                               \
    GB_EMIT(name, a1, a2, a3, a4);                                                   \
  }
#define GB_PROBE5(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, a4, d4, t5, a5, d5)                     \
  GB_FN name([[maybe_unused]] t1 a1, [[maybe_unused]] t2 a2, [[maybe_unused]] t3 a3, [[maybe_unused]] t4 a4, \
             [[maybe_unused]] t5 a5) {                                                                       \
    GB_EMIT(name, a1, a2, a3, a4, a5);                                                                       \
  }
#define GB_PROBE7(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, a4, d4, t5, a5, d5, t6, a6, d6, t7, a7, \
                  d7)                                                                                        \
  GB_FN name([[maybe_unused]] t1 a1, [[maybe_unused]] t2 a2, [[maybe_unused]] t3 a3, [[maybe_unused]] t4 a4, \
             [[maybe_unused]] t5 a5, [[maybe_unused]] t6 a6, [[maybe_unused]] t7 a7) {                       \
    GB_EMIT(name, a1, a2, a3, a4, a5, a6, a7);                                                               \
  }
#define GB_PROBE9(name, doc, t1, a1, d1, t2, a2, d2, t3, a3, d3, t4, a4, d4, t5, a5, d5, t6, a6, d6, t7, a7, \
                  d7, t8, a8, d8, t9, a9, d9)                                                                \
  GB_FN name([[maybe_unused]] t1 a1, [[maybe_unused]] t2 a2, [[maybe_unused]] t3 a3, [[maybe_unused]] t4 a4, \
             [[maybe_unused]] t5 a5, [[maybe_unused]] t6 a6, [[maybe_unused]] t7 a7, [[maybe_unused]] t8 a8, \
             [[maybe_unused]] t9 a9) {                                                                       \
    GB_EMIT(name, a1, a2, a3, a4, a5, a6, a7, a8, a9);                                                       \
  }

#include "bpf/probes.def"

#undef GB_PROBE1
#undef GB_PROBE2
#undef GB_PROBE3
#undef GB_PROBE4
#undef GB_PROBE5
#undef GB_PROBE7
#undef GB_PROBE9
#undef GB_FN
#undef GB_EMIT

}  // namespace glassbox::probe
