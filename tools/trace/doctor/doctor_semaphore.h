// A probe with a semaphore, as other programs have: the kernel raises the semaphore while the probe is
// traced.
#pragma once

namespace glassbox::trace {

// Fires the probe glassbox_doctor:with_semaphore if its semaphore is raised.
void fire_if_enabled();

}  // namespace glassbox::trace
