#include "vmm/acpi/dsdt.h"

#include "vmm/platform/layout.h"

namespace glassbox::acpi {
namespace {

Aml pci_host_bridge() {
  const Aml resources = bus_window(0, 0) + io_ports(layout::kPciConfigAddressPort, 8) +
                        io_window(layout::kPciIoBase, layout::kPciIoSize) +
                        memory_window(layout::kPciMemBase, layout::kPciMemSize);
  return device("PCI0", name("_HID", eisa_id("PNP0A03")) + name("_UID", integer(0)) +
                            name("_SEG", integer(0)) + name("_BBN", integer(0)) +
                            name("_CRS", resource_template(resources)));
}

Aml serial_port() {
  const Aml resources = io_ports(layout::kSerialPort, 8) + irq(layout::kSerialIrq);
  return device("COM1", name("_HID", eisa_id("PNP0501")) + name("_UID", integer(0)) +
                            name("_CRS", resource_template(resources)));
}

// The same device as QEMU's, so that Linux's pvpanic driver binds to it.
Aml panic_port() {
  return device("PEVT", name("_HID", string("QEMU0001")) + name("_STA", integer(0x0B)) +
                            name("_CRS", resource_template(io_ports(layout::kPvpanicPort, 1))));
}

}  // namespace

Aml dsdt_contents() {
  const Aml s5 = name("_S5", package({integer(kSleepTypeS5), integer(0), integer(0), integer(0)}));
  return s5 + scope("_SB", pci_host_bridge() + serial_port() + panic_port());
}

}  // namespace glassbox::acpi
