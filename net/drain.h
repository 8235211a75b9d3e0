// The end of a guest: what it has sent, and the NAT has acknowledged, is still to be delivered.
//
// Theory of operation. To the guest an acknowledgement means that its bytes are safe, so it may end: a
// command exits, a machine powers off. Bytes that the peer does not take yet are then in the NAT's memory, in
// the host socket, and with `netns` in the buffers of the namespace's kernel, which goes on sending. A drain
// lets the loop run until all of it is with the host's kernel in a form that survives this process: close()
// then leaves the rest to the kernel, as for any program. How long that takes is the peer's affair, so
// progress decides: the drain gives up when nothing has moved for the linger time.
//
// While the drain runs, the counters of Undelivered are read after 1 ms, then at intervals that double up to
// kLongestLookNs. A look walks over all flows.
//
// Pure: the caller passes the time and what is undelivered.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "vmm/base/clock.h"

namespace glassbox::net {

// How the guest ended.
enum class GuestEnd : std::uint8_t {
  kCommand,  // its processes are gone; its kernel still delivers what they sent
  kMachine,  // nothing of it runs any more
};

// What a guest that has ended is still owed.
struct Undelivered {
  std::uint32_t flows = 0;
  std::uint64_t bytes = 0;     // known to wait; more may be on its way
  std::uint64_t received = 0;  // from the guest, on all flows; for seeing progress
  friend bool operator==(const Undelivered&, const Undelivered&) = default;
};

class Drain {
 public:
  enum class Event : std::uint8_t {
    kWaits,     // after kNoticeNs; the drain goes on
    kComplete,  // everything is delivered
    kGivenUp,   // no progress for the linger time, or abandoned
  };
  using Listener = std::function<void(Event, const Undelivered&)>;

  [[nodiscard]] bool active() const { return listener_ != nullptr; }
  void begin(std::uint64_t now_ns, std::uint64_t linger_ns, Listener listener) {
    listener_ = std::move(listener);
    linger_ns_ = linger_ns;
    begin_ns_ = progress_ns_ = look_ns_ = now_ns;
    interval_ns_ = kNsPerMs;
    said_ = false;
    last_ = {};
  }
  // When to look next; 0 if no drain runs.
  [[nodiscard]] std::uint64_t next_look_ns() const { return active() ? look_ns_ : 0; }
  [[nodiscard]] bool is_due(std::uint64_t now_ns) const { return active() && look_ns_ <= now_ns; }

  // Takes a look; the listener hears what comes of it. idle: the guest has sent nothing since the last look.
  void look(std::uint64_t now_ns, const Undelivered& undelivered, bool idle) {
    look_ns_ = now_ns + interval_ns_;
    interval_ns_ = std::min(2 * interval_ns_, kLongestLookNs);
    if (undelivered.flows == 0 && idle) return end(Event::kComplete, undelivered);
    if (undelivered != last_) progress_ns_ = now_ns;
    last_ = undelivered;
    if (now_ns - progress_ns_ >= linger_ns_) return end(Event::kGivenUp, undelivered);
    if (said_ || now_ns - begin_ns_ < kNoticeNs) return;
    said_ = true;
    listener_(Event::kWaits, undelivered);
  }
  void abandon() {
    if (active()) end(Event::kGivenUp, last_);
  }

 private:
  static constexpr std::uint64_t kNoticeNs = kNsPerSecond;
  static constexpr std::uint64_t kLongestLookNs = 50 * kNsPerMs;

  void end(Event event, const Undelivered& undelivered) {
    const Listener listener = std::move(listener_);
    listener_ = nullptr;
    listener(event, undelivered);
  }

  Listener listener_;
  std::uint64_t linger_ns_ = 0;
  std::uint64_t begin_ns_ = 0;
  std::uint64_t progress_ns_ = 0;
  std::uint64_t look_ns_ = 0;
  std::uint64_t interval_ns_ = 0;
  Undelivered last_;
  bool said_ = false;
};

}  // namespace glassbox::net
