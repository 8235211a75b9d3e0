// Attached BPF programs, and how to silence all of them at the same moment.
#pragma once

#include <bpf/libbpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

namespace glassbox::bpf {

struct LinkDestroy {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using LinkPtr = std::unique_ptr<bpf_link, LinkDestroy>;

// Detaching a program waits for a grace period of the kernel: 75 to 120 ms for each program, two seconds in
// all. Therefore a trace does not end by detaching. It ends here: `stopped` (bpf/emit.bpf.h) makes the
// programs drop their events, and they are detached when the tracer is destroyed.
inline void silence(__u64& stopped) {
  __atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST);
  // Returns when every program that may have read the old value has ended: programs run as RCU readers.
  syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

}  // namespace glassbox::bpf
