// A probe with a semaphore, as other programs have them: the kernel raises it while somebody listens.
#pragma once

namespace glassbox::trace {

// Fires the probe glassbox_doctor:with_semaphore, if its semaphore is raised.
void fire_if_enabled();

}  // namespace glassbox::trace
