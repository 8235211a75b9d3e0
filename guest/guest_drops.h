// What a guest's trace lost: in all, and of which events and hooks.
#pragma once

#include <vector>

#include "bpf/drop_share.h"
#include "guest/protocol.h"

namespace glassbox::trace {

struct GuestDrops {
  protocol::TraceDrops totals;
  std::vector<DropShare> shares;  // those that are not 0
};

}  // namespace glassbox::trace
