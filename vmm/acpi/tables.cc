#include "vmm/acpi/tables.h"

#include <cassert>
#include <cstring>
#include <numeric>
#include <string_view>

#include "vmm/acpi/dsdt.h"
#include "vmm/base/check.h"
#include "vmm/platform/layout.h"

namespace glassbox::acpi {
namespace {

using Table = std::vector<std::uint8_t>;
constexpr std::size_t kHeaderSize = 36;
constexpr std::size_t kRsdpSize = 36;

template <typename T>
void put(Table& table, std::size_t offset, T value) {
  GB_CHECK(offset + sizeof(T) <= table.size());
  std::memcpy(table.data() + offset, &value, sizeof(T));
}
template <typename T>
void append(Table& table, T value) {
  table.resize(table.size() + sizeof(T));
  put(table, table.size() - sizeof(T), value);
}
void put_text(Table& table, std::size_t offset, std::string_view text) {
  std::memcpy(table.data() + offset, text.data(), text.size());
}

// The byte that makes [0, size) sum to zero.
std::uint8_t checksum(const Table& table, std::size_t size) {
  const auto end = table.begin() + static_cast<std::ptrdiff_t>(size);
  return static_cast<std::uint8_t>(-std::accumulate(table.begin(), end, 0));
}

// A system description table's header (5.2.6), its length and checksum filled in by finish().
Table begin_table(std::string_view signature, std::uint8_t revision, std::size_t size = kHeaderSize) {
  Table table(size);
  put_text(table, 0, signature);
  put(table, 8, revision);
  put_text(table, 10, "GLSBOX");
  put_text(table, 16, "GLASSBOX");
  put<std::uint32_t>(table, 24, 1);
  put_text(table, 28, "GLSB");
  put<std::uint32_t>(table, 32, 1);
  return table;
}
Table finish(Table table) {
  put(table, 4, static_cast<std::uint32_t>(table.size()));
  put(table, 9, checksum(table, table.size()));
  return table;
}

// Generic address structure (5.2.3.2) of a byte-wide port.
void put_port(Table& table, std::size_t offset, std::uint16_t port) {
  put<std::uint8_t>(table, offset, 1);      // system I/O
  put<std::uint8_t>(table, offset + 1, 8);  // bits
  put<std::uint8_t>(table, offset + 3, 1);  // byte access
  put<std::uint64_t>(table, offset + 4, port);
}

// 5.2.9.
Table fadt(GuestPhysAddr dsdt) {
  constexpr std::uint16_t kNoVga = 1U << 2;
  constexpr std::uint16_t kNoAspm = 1U << 4;
  constexpr std::uint16_t kNoCmosClock = 1U << 5;
  constexpr std::uint32_t kWbinvd = 1U << 0;
  constexpr std::uint32_t kNoPowerButton = 1U << 4;  // no power button among the fixed features
  constexpr std::uint32_t kNoSleepButton = 1U << 5;
  constexpr std::uint32_t kResetRegister = 1U << 10;
  constexpr std::uint32_t kHeadless = 1U << 12;
  constexpr std::uint32_t kHardwareReduced = 1U << 20;
  Table table = begin_table("FACP", 6, 276);
  put<std::uint16_t>(table, 109, kNoVga | kNoAspm | kNoCmosClock);
  put<std::uint32_t>(
      table, 112, kWbinvd | kNoPowerButton | kNoSleepButton | kResetRegister | kHeadless | kHardwareReduced);
  put_port(table, 116, layout::kResetPort);
  put<std::uint8_t>(table, 128, layout::kResetValue);
  put<std::uint8_t>(table, 131, 4);  // minor version: 6.4
  put<std::uint64_t>(table, 140, dsdt);
  put_port(table, 244, layout::kSleepControlPort);
  put_port(table, 256, layout::kSleepStatusPort);
  return finish(std::move(table));
}

// 5.2.12.
Table madt(unsigned vcpus) {
  Table table = begin_table("APIC", 5);
  append<std::uint32_t>(table, layout::kLocalApic);
  append<std::uint32_t>(table, 0);  // flags: there is no 8259 pair to mask
  for (unsigned vcpu = 0; vcpu < vcpus; ++vcpu) {
    append<std::uint8_t>(table, 0);  // processor local APIC
    append<std::uint8_t>(table, 8);
    append(table, static_cast<std::uint8_t>(vcpu));  // processor UID
    append(table, static_cast<std::uint8_t>(vcpu));  // APIC id
    append<std::uint32_t>(table, 1);                 // enabled
  }
  append<std::uint8_t>(table, 1);  // I/O APIC
  append<std::uint8_t>(table, 12);
  append<std::uint8_t>(table, 0);  // its id
  append<std::uint8_t>(table, 0);
  append<std::uint32_t>(table, layout::kIoApic);
  append<std::uint32_t>(table, 0);  // first GSI
  return finish(std::move(table));
}

// 5.2.5.3.
Table rsdp(GuestPhysAddr xsdt) {
  Table table(kRsdpSize);
  put_text(table, 0, "RSD PTR ");
  put_text(table, 9, "GLSBOX");
  put<std::uint8_t>(table, 15, 2);
  put<std::uint32_t>(table, 20, kRsdpSize);
  put<std::uint64_t>(table, 24, xsdt);
  put(table, 8, checksum(table, 20));
  put(table, 32, checksum(table, kRsdpSize));
  return table;
}

}  // namespace

std::vector<std::uint8_t> build_tables(unsigned vcpus) {
  Table out(kRsdpSize);
  const auto place = [&out](const Table& table) {
    out.resize((out.size() + 15) & ~std::size_t{15});
    const GuestPhysAddr address = layout::kAcpiTables + out.size();
    out.insert(out.end(), table.begin(), table.end());
    return address;
  };
  const GuestPhysAddr dsdt = place(finish(begin_table("DSDT", 2) + dsdt_contents()));
  Table xsdt = begin_table("XSDT", 1);
  append(xsdt, place(fadt(dsdt)));
  append(xsdt, place(madt(vcpus)));
  const Table root = rsdp(place(finish(std::move(xsdt))));
  std::copy(root.begin(), root.end(), out.begin());
  assert(out.size() <= layout::kAcpiTablesEnd - layout::kAcpiTables);
  return out;
}

Result<GuestPhysAddr> write_tables(unsigned vcpus, const GuestMemory& memory) {
  const std::vector<std::uint8_t> tables = build_tables(vcpus);
  const auto room = memory.slice(layout::kAcpiTables, tables.size());
  if (!room) return fail("guest memory is too small for the ACPI tables");
  std::memcpy(room->data(), tables.data(), tables.size());
  return layout::kAcpiTables;
}

}  // namespace glassbox::acpi
