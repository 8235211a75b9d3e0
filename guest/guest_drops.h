// Events that a guest's trace lost: totals by cause, and each cause's share by event kind or hook.
#pragma once

#include <vector>

#include "bpf/drop_share.h"
#include "guest/protocol.h"

namespace glassbox::bpf {

struct GuestDrops {
  protocol::TraceDrops totals;
  std::vector<DropShare> shares;  // none that is 0
};

}  // namespace glassbox::bpf
