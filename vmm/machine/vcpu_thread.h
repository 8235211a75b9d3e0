// One vCPU's thread: KVM_RUN, and the exits.
//
// Theory of operation: the loop runs a KVM vCPU and hands each exit to the memory or the port bus. It
// allocates nothing and takes no lock but the bus's. It ends when stop() is called, or when an exit cannot be
// handled, which it reports once through Events::failed. stop() sets immediate_exit in kvm_run, which the
// next KVM_RUN obeys, and sends a signal that ends the current one.
#pragma once

#include <pthread.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "vmm/kvm/io_bus.h"
#include "vmm/kvm/vcpu.h"

namespace glassbox {

class VcpuThread {
 public:
  struct Events {
    std::function<void(std::string why)> failed;  // on the vCPU's thread, which ends after it
  };

  VcpuThread(unsigned index, kvm::Vcpu vcpu, kvm::IoBus& mmio, kvm::IoBus& ports, Events events)
      : index_(index), vcpu_(std::move(vcpu)), mmio_(mmio), ports_(ports), events_(std::move(events)) {}
  VcpuThread(const VcpuThread&) = delete;
  VcpuThread& operator=(const VcpuThread&) = delete;
  ~VcpuThread();

  [[nodiscard]] kvm::Vcpu& vcpu() { return vcpu_; }
  [[nodiscard]] Status start();
  // Asks the thread to end and does not wait: it may still be in a device. Thread: the one that calls join().
  void stop();
  void join();
  // Whether Events::failed was called; the vCPU's last state in one line. Call them after join().
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::string state() const;
  // Exits to the monitor so far. Any thread.
  [[nodiscard]] std::uint64_t exits() const { return exits_.load(std::memory_order_relaxed); }

 private:
  void run();
  bool handle_exit();
  void handle_port();
  void handle_mmio();
  void fail_with(std::string why);

  const unsigned index_;
  kvm::Vcpu vcpu_;
  kvm::IoBus& mmio_;
  kvm::IoBus& ports_;
  const Events events_;
  bool failed_ = false;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> exits_{0};
  std::thread thread_;
};

}  // namespace glassbox
