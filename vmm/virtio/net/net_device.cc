#include "vmm/virtio/net/net_device.h"

#include <linux/virtio_ids.h>

#include <algorithm>
#include <cstddef>

#include "bpf/probes.h"
#include "vmm/base/check.h"
#include "vmm/base/iovec.h"
#include "vmm/virtio/net/net_format.h"

namespace glassbox::virtio {
namespace {

namespace format = net_format;

constexpr std::uint64_t kFeatures = format::kCsum | format::kGuestCsum | format::kMtu | format::kMac |
                                    format::kGuestTso4 | format::kGuestTso6 | format::kHostTso4 |
                                    format::kHostTso6 | format::kMergeableBuffers | format::kStatus;
constexpr std::uint32_t kEthernetController = 0x02'00'00;

bool has(std::uint64_t features, std::uint64_t any_of) {
  return (features & any_of) != 0;
}

}  // namespace

NetDevice::NetDevice(net::EventLoop& loop, const NetConfig& config) : loop_(loop), config_(config) {
  loop_.at_turn_end([this] { turn_end(); });
  loop_.before_wait([this](net::BeforeWait what) { return may_sleep(what); });
}

DeviceInfo NetDevice::info() const {
  return {.type = VIRTIO_ID_NET, .class_code = kEthernetController, .features = kFeatures, .queues = 2};
}

void NetDevice::read_config(std::uint64_t offset, std::span<std::uint8_t> data) const {
  format::Config config{};
  std::copy(config_.mac.begin(), config_.mac.end(), config.mac);
  config.status = format::kLinkUp;
  config.max_queue_pairs = 1;
  config.mtu = config_.mtu;
  const auto bytes = std::as_bytes(std::span(&config, 1));
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = offset + i < bytes.size() ? std::to_integer<std::uint8_t>(bytes[offset + i]) : 0;
}

// 5.1.3.1: segmentation offload requires checksum offload.
bool NetDevice::accepts(std::uint64_t features) const {
  const bool guest_tso = has(features, format::kGuestTso4 | format::kGuestTso6);
  const bool host_tso = has(features, format::kHostTso4 | format::kHostTso6);
  return (!guest_tso || has(features, format::kGuestCsum)) && (!host_tso || has(features, format::kCsum));
}

void NetDevice::activate(Transport& transport, std::uint64_t features) {
  transport_ = &transport;
  rx_ = &transport.queue(kReceiveQueue);
  tx_ = &transport.queue(kTransmitQueue);
  offloads_ = {.rx_csum = has(features, format::kGuestCsum),
               .rx_tso4 = has(features, format::kGuestTso4),
               .rx_tso6 = has(features, format::kGuestTso6)};
  mergeable_ = has(features, format::kMergeableBuffers);
  // Frames that the driver queued before DRIVER_OK bring no kick, and the sink may have frames that wait.
  tx_pending_ = true;
  rx_space_ = true;
  rx_->disarm();
}

void NetDevice::reset() {
  give_back(0);
  queued_ = 0;
  transport_ = nullptr;
  rx_ = tx_ = nullptr;
  offloads_ = {};
  mergeable_ = tx_pending_ = rx_starved_ = rx_space_ = false;
  held_frames_ = held_bytes_ = 0;
  hold_ends_ns_ = 0;
  idle_answers_ = 0;
  awaited_ = false;
}

void NetDevice::check(const Queue& queue) {
  if (queue.fault() != QueueFault::kNone) transport_->needs_reset();
}

void NetDevice::on_kick(unsigned queue) {
  probe::tx_kick(static_cast<std::uint16_t>(queue));
  if (queue == kTransmitQueue) {
    transmit();
  } else if (rx_starved_) {
    rx_space_ = true;
  }
}

void NetDevice::turn_end() {
  if (transport_ == nullptr) return;
  if (tx_pending_) transmit();
  if (std::exchange(rx_space_, false)) {
    rx_starved_ = false;
    rx_->disarm();
    if (sink_ != nullptr) sink_->on_rx_space();
  }
}

bool NetDevice::may_sleep(net::BeforeWait what) {
  tx_budget_ = kBurst;
  if (transport_ == nullptr) return true;
  if (what == net::BeforeWait::kLook) {
    // New receive buffers can wait until the spin ends.
    if (!tx_pending_) tx_pending_ = tx_->has_available();
    return !tx_pending_ && !rx_space_;
  }
  if (!tx_pending_) tx_pending_ = !arm_transmit();
  if (rx_starved_ && !rx_space_) rx_space_ = !rx_->arm(rx_known_);
  // After the turn's answers were published: their interrupt may have announced these as well.
  if (hold_ends_ns_ != 0 && hold_ends_ns_ <= loop_.now_ns()) end_hold();
  if (hold_ends_ns_ != 0 && nothing_held()) hold_ends_ns_ = 0;
  if (hold_ends_ns_ != 0) loop_.bound_wait(hold_ends_ns_);
  return !tx_pending_ && !rx_space_;
}

bool NetDevice::arm_transmit() {
  if (answers_end_ns_ <= loop_.now_ns() || !tx_->event_idx()) idle_answers_ = 0;
  if (idle_answers_ == 0) return tx_->arm();
  loop_.bound_wait(answers_end_ns_);
  return tx_->arm_behind(idle_answers_);
}

void NetDevice::transmit() {
  tx_pending_ = false;
  tx_->disarm();
  bool any = false;
  for (;;) {
    if (tx_budget_ == 0) {
      tx_pending_ = true;
      break;
    }
    auto chain = tx_->pop(tx_iovecs_);
    if (!chain) break;
    --tx_budget_;
    any = true;
    transmit_one(std::move(*chain));
  }
  check(*tx_);
  if (!any) return;
  if (sink_ != nullptr) sink_->on_guest_burst_end();
  hold_or_complete();
}

void NetDevice::hold_or_complete() {
  if (tx_->event_idx() && held_frames_ < kHeldFrames && held_bytes_ < kHeldBytes) {
    if (tx_->has_unpublished()) hold();
  } else {
    complete();
  }
}

// Publishes the sent buffers, with an interrupt if the driver wants one.
void NetDevice::complete() {
  held_frames_ = held_bytes_ = 0;
  if (tx_->publish()) interrupt(kTransmitQueue, true);
}

void NetDevice::hold() {
  if (hold_ends_ns_ == 0) hold_ends_ns_ = loop_.now_ns() + kHoldNs;
}

bool NetDevice::nothing_held() const {
  return !tx_->has_unpublished() && !tx_->interrupt_owed() && !rx_->interrupt_owed();
}

// The hold time is over: interrupt the driver for what it has not noticed.
void NetDevice::end_hold() {
  hold_ends_ns_ = 0;
  complete();
  if (rx_->interrupt_owed() && rx_->publish()) interrupt(kReceiveQueue, true);
}

void NetDevice::interrupt(unsigned queue, bool wanted) {
  const bool raised = wanted && transport_->deliverable(queue);
  probe::irq_raise(transport_->vector(queue), static_cast<std::uint16_t>(queue), raised ? 0 : 1);
  if (wanted) transport_->interrupt(queue);
}

void NetDevice::transmit_one(DescriptorChain chain) {
  format::Header header;
  const auto readable = chain.readable();
  const std::size_t copied = iov_gather(readable, std::as_writable_bytes(std::span(&header, 1)));
  // A chain shorter than the header is passed on as an empty frame: the sink drops and counts it.
  if (copied != kHeaderBytes) header = {};
  if (sink_ != nullptr) {
    sink_->on_guest_frame(iov_drop_front(readable, kHeaderBytes), header.vnet, kTransmitQueue);
  }
  if (idle_answers_ != 0) --idle_answers_;
  ++held_frames_;
  held_bytes_ += std::min(chain.readable_bytes(), kHeldBytes);
  tx_->push(std::move(chain), 0);
}

// Pops chains until they hold a header and `bytes`, with their elements one after the other in iovecs_. If
// there are too few, it gives all back and returns false.
bool NetDevice::lend(std::size_t bytes) {
  iovecs_used_ = 0;
  while (lent_bytes_ < kHeaderBytes + bytes) {
    const bool may_pop = queued_ + lent_ < chains_.size() && (lent_ == 0 || mergeable_) &&
                         iovecs_used_ + Queue::kMaxSize <= iovecs_.size();
    if (!may_pop) return false;
    auto chain = rx_->pop(std::span(iovecs_).subspan(iovecs_used_));
    if (!chain) return false;
    // A readable part has no meaning here (5.1.6.3.1); it is skipped.
    const auto writable = chain->writable();
    std::copy(writable.begin(), writable.end(), iovecs_.begin() + static_cast<std::ptrdiff_t>(iovecs_used_));
    iovecs_used_ += writable.size();
    lent_bytes_ += chain->writable_bytes();
    chains_[lent_++].emplace(std::move(*chain));
  }
  return true;
}

// Ends the reservation: the chains from `first` on go back to the available ring, last one first.
void NetDevice::give_back(std::size_t first) {
  while (lent_ > first) {
    --lent_;
    rx_->unpop(std::move(*chains_[lent_]));
    chains_[lent_].reset();
  }
  lent_ = lent_bytes_ = 0;
}

std::span<const iovec> NetDevice::rx_reserve(std::size_t bytes) {
  GB_CHECK(lent_ == 0);
  if (transport_ == nullptr) return {};
  if (!lend(bytes)) {
    give_back(0);
    check(*rx_);
    rx_starved_ = true;
    rx_known_ = rx_->seen_index();
    return {};
  }
  const auto all = std::span(iovecs_).first(iovecs_used_);
  header_parts_ = 0;
  for (std::size_t left = kHeaderBytes; left != 0; ++header_parts_) {
    const iovec& part = all[header_parts_];
    header_[header_parts_] = iovec{part.iov_base, std::min(left, part.iov_len)};
    left -= header_[header_parts_].iov_len;
  }
  return iov_keep_front(iov_drop_front(all, kHeaderBytes), bytes);
}

void NetDevice::rx_commit(const net::RxFrame& frame) {
  if (transport_ == nullptr) return;
  GB_CHECK(lent_ != 0 && kHeaderBytes + frame.bytes <= lent_bytes_);
  std::size_t left = kHeaderBytes + frame.bytes;
  std::size_t filled = 0;
  while (left != 0) {
    DescriptorChain& chain = *chains_[filled];
    const auto written = static_cast<std::uint32_t>(std::min<std::size_t>(left, chain.writable_bytes()));
    rx_->push(std::move(chain), written);
    chains_[filled].reset();
    left -= written;
    ++filled;
  }
  const format::Header header{.vnet = frame.vnet, .num_buffers = static_cast<std::uint16_t>(filled)};
  iov_scatter(std::span(header_).first(header_parts_), std::as_bytes(std::span(&header, 1)));
  give_back(filled);
  frames_[queued_++] = {.flow = frame.flow,
                        .seq = frame.seq,
                        .bytes = static_cast<std::uint32_t>(frame.bytes),
                        .tcp_flags = frame.tcp_flags,
                        .used_index = rx_->used_index()};
  awaited_ |= frame.awaited;
  if (frame.expects_bare_ack && idle_answers_ < kIdleAnswers) {
    if (idle_answers_++ == 0) answers_end_ns_ = loop_.now_ns() + kAnswerNs;
  }
}

void NetDevice::rx_cancel() {
  if (transport_ != nullptr) give_back(0);
}

std::size_t NetDevice::rx_publish() {
  const std::size_t count = std::exchange(queued_, 0U);
  if (count == 0) return 0;
  for (const Committed& frame : std::span(frames_).first(count)) {
    probe::rx_inject(frame.flow, frame.seq, frame.bytes, frame.tcp_flags, frame.used_index);
  }
  if (held_frames_ != 0 && tx_->event_idx()) {
    // The driver finds it when it takes these frames. The hold time starts again, unless the driver is behind
    // already.
    if (!tx_->interrupt_owed() && (awaited_ || !rx_->interrupt_owed())) hold_ends_ns_ = 0;
    held_frames_ = held_bytes_ = 0;
    tx_->publish_without_interrupt();
    hold();
  }
  if (std::exchange(awaited_, false) || !rx_->event_idx()) {
    interrupt(kReceiveQueue, rx_->publish());
  } else {
    rx_->publish_without_interrupt();
    interrupt(kReceiveQueue, false);
    hold();
  }
  return count;
}

}  // namespace glassbox::virtio
