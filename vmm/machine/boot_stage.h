// Argument of the probe boot_mark: how far a VM has come. Append-only; the numbers are in traces.
#pragma once

#include <cstdint>

namespace glassbox {

enum class BootStage : std::uint32_t {
  kMachineCreated = 1,  // KVM objects and guest memory exist
  kKernelLoaded = 2,    // and kernel, initrd and tables are in guest memory
  kVcpusStarted = 3,    // the next thing is the guest's first instruction
  kConsoleOutput = 4,   // the first byte on the serial console
  kNetworkReady = 5,    // the guest's virtio-net driver is up
  kAgentReady = 6,      // the guest's agent answered over vsock
  kEnded = 7,           // no vCPU runs any more
};

}  // namespace glassbox
