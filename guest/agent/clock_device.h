// The guest's end of a clock exchange. The device is glassbox's own PCI function (guest/protocol.h), whose
// BAR 0 is one page. Reading the first word of that page exits to the monitor, which fires the probe
// clock_exchange and returns the number of the exchange.
//
// The host stamps the exit between the guest's two readings of its clock, so
//   before_ns <= (the host's stamp, on the guest's clock) <= after_ns
// holds whatever is delayed on either side.
//
// Thread: any. exchange() and reading() may run on several threads at once.
#pragma once

#include <cstdint>
#include <filesystem>

#include "vmm/base/result.h"

namespace glassbox::agent {

struct ClockExchange {
  std::uint32_t exchange = 0;   // number that the monitor gave, from 1, modulo 2^32
  std::uint64_t before_ns = 0;  // CLOCK_MONOTONIC just before the read
  std::uint64_t after_ns = 0;   // CLOCK_MONOTONIC just after it
};

// An exchange that also reads the guest's time stamp counter, for the cross-check with KVM's TSC offset.
// Number 0: this monitor does not offer readings.
struct ClockReading {
  std::uint32_t number = 0;
  std::uint64_t before_ns = 0, tsc_before = 0;
  std::uint64_t tsc_after = 0, after_ns = 0;
};

class ClockDevice {
 public:
  // Finds the PCI function below `pci_devices`, enables its memory decoding and maps its page. Fails if the
  // machine has no such function.
  [[nodiscard]] static Result<ClockDevice> open(
      const std::filesystem::path& pci_devices = "/sys/bus/pci/devices");
  ClockDevice(ClockDevice&& other) noexcept : page_(other.page_) { other.page_ = nullptr; }
  ClockDevice& operator=(ClockDevice&&) = delete;
  ~ClockDevice();

  // One exchange on the CPU that the caller runs on. A caller that wants a certain CPU pins itself first.
  [[nodiscard]] ClockExchange exchange() const;
  [[nodiscard]] ClockReading reading() const;

 private:
  explicit ClockDevice(volatile std::uint32_t* page) : page_(page) {}
  volatile std::uint32_t* page_;  // owned mapping, read-only; nullptr after a move
};

}  // namespace glassbox::agent
