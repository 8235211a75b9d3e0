// The constants of the NAT's TCP, in one place.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vmm/base/clock.h"

namespace glassbox::net {

// The guest is a few microseconds away and delays acknowledgements by at most 40 ms (RFC 9293, 3.8.6.3,
// allows 500 ms), so a fixed first time-out is enough. It is long, since an emulated guest may stall.
inline constexpr std::uint64_t kRetransmitNs = 500 * kNsPerMs;
inline constexpr std::uint64_t kMaxRetransmitNs = 8 * kNsPerSecond;
inline constexpr std::uint8_t kMaxRetries = 10;  // about a minute of silence
inline constexpr std::uint8_t kMaxDoublings = 5;
inline constexpr std::uint64_t kPoolRetryNs = 10 * kNsPerMs;

// RFC 5382, REQ-5: a NAT keeps an idle connection for at least 2 hours 4 minutes. After that it probes both
// sides before it gives the connection up.
inline constexpr std::uint64_t kIdleNs = 7440 * kNsPerSecond;
inline constexpr std::uint64_t kConnectNs = 180 * kNsPerSecond;  // the kernel gives up before
inline constexpr std::uint32_t kMaxConnecting = 4096;

inline constexpr std::uint16_t kDefaultMss = 536;  // RFC 9293, 3.7.1
inline constexpr std::uint16_t kMinMss = 64;
inline constexpr std::uint8_t kMaxScale = 14;  // RFC 7323, 2.3
inline constexpr std::uint8_t kOurScale = 7;

inline constexpr std::uint32_t kWindow = 1U << 20;
inline constexpr std::uint32_t kSmallWindow = 65535;

inline constexpr std::size_t kPoolChunks = (64U << 20) / 4096;
// How much of a flow's unacknowledged data is copied before the rest is left in the socket.
inline constexpr std::size_t kStoredWithPeek = 16U << 10;
inline constexpr std::size_t kStoredWithoutPeek = 512U << 10;
inline constexpr std::uint32_t kDiscardBatch = 64U << 10;

}  // namespace glassbox::net
