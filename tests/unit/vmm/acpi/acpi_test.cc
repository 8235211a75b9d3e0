// The ACPI tables: sums, lengths, links; and the AML as Intel's disassembler reads it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <optional>
#include <sstream>
#include <string>

#include "tests/unit/vmm/base/temp_dir.h"
#include "vmm/acpi/aml.h"
#include "vmm/acpi/tables.h"
#include "vmm/platform/layout.h"

namespace glassbox::acpi {
namespace {

using ::testing::HasSubstr;
using Table = std::vector<std::uint8_t>;

template <typename T>
T at(const Table& table, std::size_t offset) {
  T value{};
  EXPECT_LE(offset + sizeof(T), table.size());
  std::memcpy(&value, table.data() + offset, sizeof(T));
  return value;
}

int sum(const Table& table) {
  return std::accumulate(table.begin(), table.end(), 0) & 0xFF;
}

Table table_at(const Table& all, GuestPhysAddr address) {
  const auto offset = static_cast<std::size_t>(address - layout::kAcpiTables);
  const auto length = at<std::uint32_t>(all, offset + 4);
  return Table(all.begin() + static_cast<std::ptrdiff_t>(offset),
               all.begin() + static_cast<std::ptrdiff_t>(offset + length));
}

// Follows RSDP and XSDT as a kernel does.
std::optional<Table> find(const Table& all, std::string_view signature) {
  const Table xsdt = table_at(all, at<std::uint64_t>(all, 24));
  for (std::size_t entry = 36; entry < xsdt.size(); entry += 8) {
    const Table table = table_at(all, at<std::uint64_t>(xsdt, entry));
    if (std::memcmp(table.data(), signature.data(), 4) == 0) return table;
  }
  return std::nullopt;
}

TEST(Acpi, EveryTableSumsToZero) {
  const Table all = build_tables(3);
  EXPECT_EQ(sum(Table(all.begin(), all.begin() + 20)), 0);
  EXPECT_EQ(sum(Table(all.begin(), all.begin() + 36)), 0);
  EXPECT_EQ(sum(table_at(all, at<std::uint64_t>(all, 24))), 0);
  for (const char* signature : {"FACP", "APIC"}) {
    const auto table = find(all, signature);
    ASSERT_TRUE(table) << signature;
    EXPECT_EQ(sum(*table), 0) << signature;
  }
  const Table dsdt = table_at(all, at<std::uint64_t>(*find(all, "FACP"), 140));
  EXPECT_EQ(std::memcmp(dsdt.data(), "DSDT", 4), 0);
  EXPECT_EQ(sum(dsdt), 0);
}

TEST(Acpi, FitsForTheMostVcpus) {
  EXPECT_LE(build_tables(layout::kMaxVcpus).size(), layout::kAcpiTablesEnd - layout::kAcpiTables);
}

TEST(Acpi, MadtHasOneLocalApicPerVcpu) {
  const auto madt = find(build_tables(5), "APIC");
  ASSERT_TRUE(madt);
  unsigned local_apics = 0;
  for (std::size_t offset = 44; offset < madt->size(); offset += at<std::uint8_t>(*madt, offset + 1)) {
    if (at<std::uint8_t>(*madt, offset) != 0) continue;
    EXPECT_EQ(at<std::uint8_t>(*madt, offset + 3), local_apics++);
    EXPECT_EQ(at<std::uint32_t>(*madt, offset + 4), 1U);
  }
  EXPECT_EQ(local_apics, 5U);
}

TEST(Acpi, FadtDeniesTheCmosClock) {
  const auto fadt = find(build_tables(1), "FACP");
  ASSERT_TRUE(fadt);
  EXPECT_NE(at<std::uint16_t>(*fadt, 109) & (1U << 5), 0U);
}

TEST(Aml, PackageLengthTakesAsManyBytesAsItNeeds) {
  // ACPI 6.4, 20.2.4: the length counts itself.
  EXPECT_EQ(scope("A", Aml(10)).at(1), 1 + 4 + 10);
  const Aml longer = scope("A", Aml(100));
  EXPECT_EQ(longer.at(1), 0x40 | ((100 + 4 + 2) & 0xF));
  EXPECT_EQ(longer.at(2), (100 + 4 + 2) >> 4);
  const Aml longest = scope("A", Aml(5000));
  EXPECT_EQ(longest.at(1) >> 6, 2);
  EXPECT_EQ((longest.at(1) & 0xF) | (longest.at(2) << 4) | (longest.at(3) << 12), 5000 + 4 + 3);
}

TEST(Aml, EisaId) {
  EXPECT_EQ(eisa_id("PNP0A03"), (Aml{0x0C, 0x41, 0xD0, 0x0A, 0x03}));
}

TEST(Aml, DisassemblesToWhatWasMeant) {
  if (std::system("command -v iasl >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "iasl (acpica-tools) is not installed";
  const test::TempDir temp;
  const std::filesystem::path& dir = temp.path();
  const Table all = build_tables(1);
  const Table dsdt = table_at(all, at<std::uint64_t>(*find(all, "FACP"), 140));
  std::ofstream(dir / "dsdt.dat", std::ios::binary)
      .write(reinterpret_cast<const char*>(dsdt.data()), static_cast<std::streamsize>(dsdt.size()));
  const std::string command =
      "cd " + dir.string() + " && iasl -d dsdt.dat >out 2>&1 && iasl dsdt.dsl >>out 2>&1";
  const int status = std::system(command.c_str());
  std::stringstream text;
  text << std::ifstream(dir / "dsdt.dsl").rdbuf() << std::ifstream(dir / "out").rdbuf();
  ASSERT_EQ(status, 0) << text.str();
  EXPECT_THAT(text.str(), HasSubstr("0 Errors, 0 Warnings"));
  for (const char* part : {"Device (PCI0)", "Device (COM1)", "EisaId (\"PNP0501\")", "Name (_S5",
                           "WordBusNumber", "0xDFFFFFFF,", "\"QEMU0001\""}) {
    EXPECT_THAT(text.str(), HasSubstr(part));
  }
}

}  // namespace
}  // namespace glassbox::acpi
