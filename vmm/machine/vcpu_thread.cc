#include "vmm/machine/vcpu_thread.h"

#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "vmm/base/start_thread.h"
#include "vmm/kvm/cpu_state.h"
#include "vmm/kvm/exit_text.h"

namespace glassbox {
namespace {

// Ends KVM_RUN with EINTR. The handler has nothing to do; without SA_RESTART the ioctl is not restarted.
int kick_signal() {
  static const int number = [] {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGRTMIN, &action, nullptr);
    return SIGRTMIN;
  }();
  return number;
}

}  // namespace

VcpuThread::~VcpuThread() {
  stop();
  join();
}

Status VcpuThread::start() {
  kick_signal();
  GB_ASSIGN(thread_, start_thread("a vCPU's thread", [this] {
              ::pthread_setname_np(::pthread_self(), fmt::format("vcpu{}", index_).c_str());
              // Other threads take the signals to the process (SIGINT, SIGTERM); this one takes only the
              // kick.
              sigset_t all;
              ::sigfillset(&all);
              ::sigdelset(&all, kick_signal());
              ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
              run();
            }));
  return {};
}

void VcpuThread::stop() {
  stopping_.store(true);
  vcpu_.request_exit();
  if (thread_.joinable()) ::pthread_kill(thread_.native_handle(), kick_signal());
}

void VcpuThread::join() {
  if (thread_.joinable()) thread_.join();
}

void VcpuThread::run() {
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int error = vcpu_.run();
    if (error == EINTR || error == EAGAIN) continue;
    if (error != 0) {
      fail_with(fmt::format("KVM_RUN: {}", std::strerror(error)));
      return;
    }
    exits_.store(exits_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (!handle_exit()) return;
  }
}

bool VcpuThread::handle_exit() {
  const kvm_run& run = vcpu_.shared();
  switch (run.exit_reason) {
    case KVM_EXIT_IO:
      handle_port();
      return true;
    case KVM_EXIT_MMIO:
      handle_mmio();
      return true;
    case KVM_EXIT_INTR:
      return true;
    case KVM_EXIT_SHUTDOWN:
      fail_with("triple fault");
      return false;
    case KVM_EXIT_FAIL_ENTRY:
      fail_with(kvm::fail_entry_text(run.fail_entry.hardware_entry_failure_reason));
      return false;
    case KVM_EXIT_INTERNAL_ERROR:
      fail_with(kvm::internal_error_text(run));
      return false;
    default:
      fail_with(fmt::format("KVM exit reason {} is not supported", std::uint32_t{run.exit_reason}));
      return false;
  }
}

void VcpuThread::handle_port() {
  kvm_run& run = vcpu_.shared();
  // "rep ins/outs" comes as one exit with a count; each element is one access to the same port.
  auto* data = reinterpret_cast<std::uint8_t*>(&run) + run.io.data_offset;
  for (std::uint32_t i = 0; i < run.io.count; ++i, data += run.io.size) {
    const std::span<std::uint8_t> bytes(data, run.io.size);
    if (run.io.direction == KVM_EXIT_IO_OUT) {
      ports_.write(index_, run.io.port, bytes);
    } else {
      ports_.read(index_, run.io.port, bytes);
    }
  }
}

void VcpuThread::handle_mmio() {
  kvm_run& run = vcpu_.shared();
  const std::span<std::uint8_t> bytes(run.mmio.data, run.mmio.len);
  if (run.mmio.is_write != 0) {
    mmio_.write(index_, run.mmio.phys_addr, bytes);
  } else {
    mmio_.read(index_, run.mmio.phys_addr, bytes);
  }
}

void VcpuThread::fail_with(std::string why) {
  failed_ = true;
  const auto regs = vcpu_.regs();
  const auto sregs = vcpu_.sregs();
  if (regs && sregs)
    why += kvm::at_reset(*regs, *sregs) ? " (its address is lost: KVM has reset the vCPU, as it does on AMD)"
                                        : " at " + kvm::describe(*regs, *sregs);
  events_.failed(fmt::format("vCPU {}: {}", index_, why));
}

std::string VcpuThread::state() const {
  const auto regs = vcpu_.regs();
  const auto sregs = vcpu_.sregs();
  if (!regs || !sregs) return "not known";
  return kvm::at_reset(*regs, *sregs) ? "not started" : kvm::describe(*regs, *sregs);
}

}  // namespace glassbox
