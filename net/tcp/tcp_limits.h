// The constants of the NAT's TCP, in one place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace glassbox::net {

inline constexpr std::uint64_t kNsPerMs = 1'000'000;
inline constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

// The guest is a few microseconds away and its delayed acknowledgement at most 40 ms (RFC 9293, 3.8.6.3,
// allows 500), so a fixed initial time-out serves; an emulated guest may stall for long.
inline constexpr std::uint64_t kRetransmitNs = 500 * kNsPerMs;
inline constexpr std::uint64_t kMaxRetransmitNs = 8 * kNsPerSecond;
inline constexpr std::uint8_t kMaxRetries = 10;  // about a minute of silence
inline constexpr std::uint8_t kMaxDoublings = 5;
inline constexpr std::uint64_t kPoolRetryNs = 10 * kNsPerMs;

// RFC 5382, REQ-5: a NAT keeps an established connection for at least 2 hours 4 minutes; then it asks first.
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
// Of each flow's unacknowledged data, how much is kept as a copy before it is left in the socket.
inline constexpr std::size_t kStoredWithPeek = 16U << 10;
inline constexpr std::size_t kStoredWithoutPeek = 512U << 10;
inline constexpr std::uint32_t kDiscardBatch = 64U << 10;

}  // namespace glassbox::net
