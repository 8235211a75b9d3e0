// Writes ACPI machine language (AML), the little of it that a virtual machine needs: names, scopes, devices,
// packages and resource templates. ACPI 6.4, chapter 20 (grammar) and 6.4 (resource descriptors).
//
//   Aml crs = resource_template(io_ports(0x3F8, 8) + irq(4));
//   Aml com1 = device("COM1", name("_HID", eisa_id("PNP0501")) + name("_CRS", crs));
//
// Names are four characters, padded with '_'. All input is the monitor's own, so misuse is an assert.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace glassbox::acpi {

using Aml = std::vector<std::uint8_t>;

Aml operator+(const Aml& left, const Aml& right);

[[nodiscard]] Aml integer(std::uint64_t value);
[[nodiscard]] Aml string(std::string_view text);
// "PNP0501" as the compressed 32-bit integer.
[[nodiscard]] Aml eisa_id(std::string_view id);
[[nodiscard]] Aml package(std::initializer_list<Aml> elements);

[[nodiscard]] Aml name(std::string_view name, const Aml& value);
[[nodiscard]] Aml scope(std::string_view name, const Aml& contents);
[[nodiscard]] Aml device(std::string_view name, const Aml& contents);

// Resource descriptors, to be concatenated into one template.
[[nodiscard]] Aml resource_template(const Aml& descriptors);
[[nodiscard]] Aml io_ports(std::uint16_t base, std::uint8_t size);
[[nodiscard]] Aml irq(unsigned line);  // edge-triggered, active high
[[nodiscard]] Aml bus_window(std::uint16_t first, std::uint16_t last);
[[nodiscard]] Aml io_window(std::uint16_t base, std::uint32_t size);
[[nodiscard]] Aml memory_window(std::uint32_t base, std::uint32_t size);

}  // namespace glassbox::acpi
