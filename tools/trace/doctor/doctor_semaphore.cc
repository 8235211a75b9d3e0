#include "tools/trace/doctor/doctor_semaphore.h"

// This macro makes every probe of the file have a semaphore; it must stand before the header. Hence a file of
// its own.
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

extern "C" {
extern volatile unsigned short glassbox_doctor_with_semaphore_semaphore;
__attribute__((section(".probes"), used)) volatile unsigned short glassbox_doctor_with_semaphore_semaphore =
    0;
}

namespace glassbox::trace {

void fire_if_enabled() {
  if (glassbox_doctor_with_semaphore_semaphore != 0) STAP_PROBE(glassbox_doctor, with_semaphore);
}

}  // namespace glassbox::trace
