// The reasons of bpf/reasons.def: what the arguments `reason` of flow_close, flow_refused and frame_drop
// mean. Shared by the NAT, which gives them, and by the tools, which read them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace glassbox {

#define GB_ENUMERATOR(number, name, text) name = number,
#define GB_TEXT(number, name, text) text,

enum class CloseReason : std::uint32_t {
#define GB_CLOSE_REASON GB_ENUMERATOR
#include "bpf/reasons.def"
};
inline constexpr auto kCloseReasonNames = std::to_array<std::string_view>({
#define GB_CLOSE_REASON GB_TEXT
#include "bpf/reasons.def"
});
inline constexpr std::size_t kCloseReasons = kCloseReasonNames.size();
// The reason's name for people; the reason must be one of the list.
[[nodiscard]] constexpr std::string_view name_of(CloseReason reason) {
  return kCloseReasonNames.at(static_cast<std::size_t>(reason));
}

enum class RefuseReason : std::uint32_t {
#define GB_REFUSE_REASON GB_ENUMERATOR
#include "bpf/reasons.def"
};
inline constexpr auto kRefuseReasonNames = std::to_array<std::string_view>({
#define GB_REFUSE_REASON GB_TEXT
#include "bpf/reasons.def"
});
inline constexpr std::size_t kRefuseReasons = kRefuseReasonNames.size();
// The reason's name for people; the reason must be one of the list.
[[nodiscard]] constexpr std::string_view name_of(RefuseReason reason) {
  return kRefuseReasonNames.at(static_cast<std::size_t>(reason));
}

enum class DropReason : std::uint32_t {
#define GB_DROP_REASON GB_ENUMERATOR
#include "bpf/reasons.def"
};
inline constexpr auto kDropReasonNames = std::to_array<std::string_view>({
#define GB_DROP_REASON GB_TEXT
#include "bpf/reasons.def"
});
inline constexpr std::size_t kDropReasons = kDropReasonNames.size();
// The reason's name for people; the reason must be one of the list.
[[nodiscard]] constexpr std::string_view name_of(DropReason reason) {
  return kDropReasonNames.at(static_cast<std::size_t>(reason));
}

#undef GB_ENUMERATOR
#undef GB_TEXT

}  // namespace glassbox
