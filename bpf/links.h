// Attached BPF programs, and how to silence them at once.
#pragma once

#include <bpf/libbpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

namespace glassbox::trace {

struct LinkDestroy {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using LinkPtr = std::unique_ptr<bpf_link, LinkDestroy>;

// Detaching one program waits for a grace period of the kernel, one after another: 75 to 120 ms each, two
// seconds in all. To end a trace, programs are therefore told to make no more events (`stopped` of
// bpf/emit.bpf.h), which takes effect here, and leave when the tracer is destroyed.
inline void silence(__u64& stopped) {
  __atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST);
  // Returns when every program that may have read the old value is through: they run as RCU readers.
  syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

}  // namespace glassbox::trace
