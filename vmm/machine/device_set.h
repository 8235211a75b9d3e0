// A VM's PCI devices, their threads and the NAT behind them, put together.
//
// Two threads: "gb-net" runs the network loop (virtio-net, the NAT, every host socket of it), "gb-dev" the
// device loop (vsock, rng). Signals stay with the other threads.
//
// Life: create() before the first vCPU runs. Destroy it, or stop() it, after the last vCPU thread has been
// joined and before VmServices is destroyed.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <thread>

#include "guest/protocol.h"
#include "net/counters_signal.h"
#include "net/loop/event_loop.h"
#include "net/nat.h"
#include "vmm/machine/stats_server.h"
#include "vmm/pci/host.h"
#include "vmm/platform/services.h"

namespace glassbox::virtio {

struct DevicesConfig {
  std::filesystem::path vsock_path;  // where to listen; also the stem of guest-initiated connections' sockets
  std::filesystem::path stats_path;  // where the VM's figures are to be had (stats_server.h); empty: nowhere
  // Writes figures of the machine into the JSON that stats_path gives. Called on the network thread.
  std::function<void(nlohmann::json&)> add_stats;
  std::uint64_t guest_cid = protocol::kGuestCid;
  net::NatConfig nat = {};
};

class Devices {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Devices>> create(VmServices& vm, const DevicesConfig& config);
  ~Devices();
  Devices(const Devices&) = delete;
  Devices& operator=(const Devices&) = delete;

  // Once the machine has ended: waits until what the guest has sent is delivered (net/drain.h). The listener
  // is called on the network thread. abandon_drain() ends it early, from any thread.
  void drain(std::uint64_t linger_ns, const net::Drain::Listener& listener);
  void abandon_drain();

  // Ends and joins the threads; idempotent.
  void stop();

  // For further functions, before the first vCPU runs; and the loop for their devices.
  [[nodiscard]] pci::Host& pci() { return *pci_; }
  [[nodiscard]] net::EventLoop& device_loop() { return *device_loop_; }

 private:
  Devices() = default;
  Status add_devices(VmServices& vm, const DevicesConfig& config);
  Status serve_stats(const DevicesConfig& config);
  Status start();

  // Destroyed from the last to the first: the NAT, then the functions with their devices, then the loops.
  std::unique_ptr<net::EventLoop> network_loop_;
  std::unique_ptr<net::EventLoop> device_loop_;
  std::unique_ptr<pci::Host> pci_;
  std::unique_ptr<net::Nat> nat_;
  std::unique_ptr<net::CountersOnSignal> counters_signal_;
  std::unique_ptr<StatsServer> stats_;
  std::thread network_thread_;
  std::thread device_thread_;
};

}  // namespace glassbox::virtio
