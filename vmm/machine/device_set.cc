#include "vmm/machine/device_set.h"

#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <future>
#include <nlohmann/json.hpp>

#include "vmm/base/start_thread.h"
#include "vmm/platform/layout.h"
#include "vmm/virtio/clock_page.h"
#include "vmm/virtio/net/net_device.h"
#include "vmm/virtio/pci_transport.h"
#include "vmm/virtio/rng_device.h"
#include "vmm/virtio/vsock/vsock_device.h"

namespace glassbox::virtio {
namespace {

Result<std::thread> run_named(net::EventLoop& loop, const char* name) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited by the thread
  auto thread = start_thread(name, [&loop, name] {
    pthread_setname_np(pthread_self(), name);
    loop.run();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

Status add_virtio(VmServices& vm, pci::Host& host, std::unique_ptr<Device> device) {
  GB_ASSIGN(auto transport, PciTransport::create(vm, std::move(device)));
  GB_TRY(host.add(std::move(transport)));
  return {};
}

}  // namespace

Result<std::unique_ptr<Devices>> Devices::create(VmServices& vm, const DevicesConfig& config) {
  std::unique_ptr<Devices> devices(new Devices);
  net::PollConfig poll = config.nat.poll;
  if (poll.mode == net::PollConfig::Mode::kAdaptive) {
    poll.spin_us = net::kGuestSpinUs;
    poll.spins_first = true;
  }
  GB_ASSIGN(devices->network_loop_, net::EventLoop::create(net::ProbeMode::kNetPoll, poll));
  GB_ASSIGN(devices->device_loop_, net::EventLoop::create(net::ProbeMode::kNone));
  GB_ASSIGN(devices->pci_, pci::Host::create(vm, {.base = layout::kPciMemBase, .size = layout::kPciMemSize}));
  GB_TRY(devices->add_devices(vm, config));
  GB_TRY(devices->start());
  return devices;
}

Status Devices::add_devices(VmServices& vm, const DevicesConfig& config) {
  // The device comes first, so that its hooks run before the NAT's: frames are taken before answers are
  // published.
  auto net_device =
      std::make_unique<NetDevice>(*network_loop_, NetConfig{.mac = net::kGuestMac, .mtu = config.nat.mtu});
  net::GuestPort& port = *net_device;
  GB_TRY(add_virtio(vm, *pci_, std::move(net_device)));
  GB_ASSIGN(nat_, net::Nat::create(config.nat, *network_loop_, port));
  GB_ASSIGN(counters_signal_, net::CountersOnSignal::create(*network_loop_, *nat_));
  GB_TRY(serve_stats(config));

  GB_ASSIGN(auto vsock, VsockDevice::create(*device_loop_, config.vsock_path.string(), config.guest_cid));
  GB_TRY(add_virtio(vm, *pci_, std::move(vsock)));
  GB_TRY(add_virtio(vm, *pci_, std::make_unique<RngDevice>(*device_loop_)));
  GB_TRY(pci_->add(std::make_unique<ClockPage>(vm)));
  return {};
}

Status Devices::start() {
  GB_ASSIGN(network_thread_, run_named(*network_loop_, "gb-net"));
  GB_ASSIGN(device_thread_, run_named(*device_loop_, "gb-dev"));
  return {};
}

// On the network loop, whose thread owns the counters.
Status Devices::serve_stats(const DevicesConfig& config) {
  if (config.stats_path.empty()) return {};
  GB_ASSIGN(stats_, StatsServer::create(*network_loop_, config.stats_path, [this, add = config.add_stats] {
              nlohmann::json stats = nlohmann::json::object();
              if (add) add(stats);
              stats["network"] = stats_of(nat_->counters());
              return stats.dump() + "\n";
            }));
  return {};
}

void Devices::drain(std::uint64_t linger_ns, const net::Drain::Listener& listener) {
  constexpr std::chrono::seconds kLookAtLoop{1};  // a loop that has failed delivers nothing
  std::promise<void> done;
  const auto ended = done.get_future();
  network_loop_->post([this, linger_ns, &listener, &done] {
    nat_->begin_drain(net::GuestEnd::kMachine, linger_ns,
                      [&listener, &done](net::Drain::Event event, const net::Undelivered& left) {
                        listener(event, left);
                        if (event != net::Drain::Event::kWaits) done.set_value();
                      });
  });
  while (ended.wait_for(kLookAtLoop) != std::future_status::ready) {
    if (network_loop_->error() != 0) return;
  }
}

void Devices::abandon_drain() {
  network_loop_->post([this] { nat_->abandon_drain(); });
}

void Devices::stop() {
  network_loop_->stop();
  device_loop_->stop();
  if (network_thread_.joinable()) network_thread_.join();
  if (device_thread_.joinable()) device_thread_.join();
}

Devices::~Devices() {
  if (network_loop_ && device_loop_) stop();
}

}  // namespace glassbox::virtio
