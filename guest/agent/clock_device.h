// The guest's end of a clock exchange: glassbox's own PCI function, whose BAR 0 is one page. Reading its
// first word leaves the guest, fires the host's clock_exchange probe and returns the exchange's number.
//
// before_ns <= (the host's stamp, on the guest's clock) <= after_ns, whatever is delayed where.
#pragma once

#include <cstdint>
#include <filesystem>

#include "vmm/base/result.h"

namespace glassbox::agent {

struct ClockExchange {
  std::uint32_t exchange = 0;
  std::uint64_t before_ns = 0;  // CLOCK_MONOTONIC, just before the read
  std::uint64_t after_ns = 0;   // and just after
};

// The same with the guest's time stamp counter read next to the clock; number 0: the monitor has no readings.
struct ClockReading {
  std::uint32_t number = 0;
  std::uint64_t before_ns = 0, tsc_before = 0;
  std::uint64_t tsc_after = 0, after_ns = 0;
};

class ClockDevice {
 public:
  // Finds the function below `pci_devices` and maps its page.
  [[nodiscard]] static Result<ClockDevice> open(
      const std::filesystem::path& pci_devices = "/sys/bus/pci/devices");
  ClockDevice(ClockDevice&& other) noexcept : page_(other.page_) { other.page_ = nullptr; }
  ClockDevice& operator=(ClockDevice&&) = delete;
  ~ClockDevice();

  // One exchange on the CPU the caller runs on; the caller pins itself where it matters.
  [[nodiscard]] ClockExchange exchange() const;
  [[nodiscard]] ClockReading reading() const;

 private:
  explicit ClockDevice(volatile std::uint32_t* page) : page_(page) {}
  volatile std::uint32_t* page_;
};

}  // namespace glassbox::agent
