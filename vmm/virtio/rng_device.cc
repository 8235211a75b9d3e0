#include "vmm/virtio/rng_device.h"

#include <linux/virtio_ids.h>
#include <sys/random.h>

#include <algorithm>

namespace glassbox::virtio {
namespace {

constexpr std::uint32_t kOtherDevice = 0x00'FF'00;
// A driver may offer gigabytes; a request gets at most this many bytes (5.4.6: one byte or more).
constexpr std::size_t kMaxRequestBytes = 4096;

}  // namespace

RngDevice::RngDevice(net::EventLoop& loop) : loop_(loop) {
  loop_.before_wait([this](net::BeforeWait) {
    if (transport_ == nullptr || transport_->queue(0).arm()) return true;
    serve();
    return false;
  });
}

DeviceInfo RngDevice::info() const {
  return {.type = VIRTIO_ID_RNG, .class_code = kOtherDevice, .queues = 1};
}

void RngDevice::read_config(std::uint64_t, std::span<std::uint8_t> data) const {
  std::fill(data.begin(), data.end(), std::uint8_t{0});
}

void RngDevice::activate(Transport& transport, std::uint64_t) {
  transport_ = &transport;
}

void RngDevice::reset() {
  transport_ = nullptr;
}

void RngDevice::on_kick(unsigned) {
  serve();
}

// At most one queue's length per call, so that a driver that never stops cannot occupy the loop.
void RngDevice::serve() {
  Queue& queue = transport_->queue(0);
  for (unsigned served = 0; served < queue.size(); ++served) {
    auto chain = queue.pop(iovecs_);
    if (!chain) break;
    std::size_t written = 0;
    for (const iovec& part : chain->writable()) {
      const std::size_t n = std::min(part.iov_len, kMaxRequestBytes - written);
      const ssize_t got = ::getrandom(part.iov_base, n, 0);
      if (got <= 0) break;
      written += static_cast<std::size_t>(got);
      if (written == kMaxRequestBytes) break;
    }
    queue.push(std::move(*chain), static_cast<std::uint32_t>(written));
  }
  if (queue.fault() != QueueFault::kNone) transport_->needs_reset();
  if (queue.publish()) transport_->interrupt(0);
}

}  // namespace glassbox::virtio
