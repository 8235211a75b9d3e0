#include "vmm/devices/panic_watch.h"

#include <string_view>

namespace glassbox::devices {
namespace {

constexpr std::string_view kMark = "Kernel panic - not syncing: ";
constexpr std::size_t kMaxLine = 256;

}  // namespace

void PanicWatch::feed(std::span<const std::uint8_t> output) {
  for (const std::uint8_t byte : output) {
    if (byte == '\n' || byte == '\r') {
      end_line();
    } else if (line_.size() < kMaxLine && byte >= 0x20 && byte < 0x7F) {
      line_.push_back(static_cast<char>(byte));
    }
  }
}

void PanicWatch::end_line() {
  const std::size_t at = line_.find(kMark);
  // The "---[ end Kernel panic - not syncing: ..." that follows adds nothing.
  if (at != std::string::npos && message_.empty()) message_ = line_.substr(at + kMark.size());
  line_.clear();
}

}  // namespace glassbox::devices
