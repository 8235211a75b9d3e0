// TCP sequence arithmetic, modulo 2^32 (RFC 9293, 3.4).
#pragma once

#include <cstdint>

namespace glassbox::net {

using Seq = std::uint32_t;

[[nodiscard]] constexpr std::int32_t seq_diff(Seq a, Seq b) {
  return static_cast<std::int32_t>(a - b);
}
[[nodiscard]] constexpr bool seq_lt(Seq a, Seq b) {
  return seq_diff(a, b) < 0;
}
[[nodiscard]] constexpr bool seq_le(Seq a, Seq b) {
  return seq_diff(a, b) <= 0;
}
[[nodiscard]] constexpr bool seq_gt(Seq a, Seq b) {
  return seq_diff(a, b) > 0;
}
[[nodiscard]] constexpr bool seq_ge(Seq a, Seq b) {
  return seq_diff(a, b) >= 0;
}
[[nodiscard]] constexpr Seq seq_max(Seq a, Seq b) {
  return seq_gt(a, b) ? a : b;
}
[[nodiscard]] constexpr Seq seq_min(Seq a, Seq b) {
  return seq_lt(a, b) ? a : b;
}

}  // namespace glassbox::net
