// A guest port whose guest is the test: it lends buffers in pieces of a chosen size and keeps what was
// published.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "net/guest_port.h"

namespace glassbox::net {

struct PublishedFrame {
  std::vector<std::uint8_t> bytes;
  RxFrame facts;
};

class FakePort final : public GuestPort {
 public:
  Offloads offered{.rx_csum = true, .rx_tso4 = true, .rx_tso6 = true};
  std::size_t piece_bytes = 65536 + 64;       // size of the iovecs lent
  std::size_t frames_left = ~std::size_t{0};  // receive buffers of the guest, in frames
  std::size_t largest = 65536 + 64;           // what a single reservation may ask for
  std::deque<PublishedFrame> published;
  std::size_t publishes = 0;
  std::size_t reserve_refused = 0;

  void give_buffers(std::size_t frames) {
    frames_left = frames;
    if (sink_ != nullptr) sink_->on_rx_space();
  }

  void set_sink(FrameSink* sink) override { sink_ = sink; }
  [[nodiscard]] Offloads offloads() const override { return offered; }

  [[nodiscard]] std::span<const iovec> rx_reserve(std::size_t bytes) override {
    if (frames_left == 0 || bytes > largest) {
      ++reserve_refused;
      return {};
    }
    if (buffer_.empty()) {
      buffer_.resize(65536 + 4096);
      pieces_.reserve(buffer_.size());
    }
    pieces_.clear();
    for (std::size_t at = 0; at < bytes; at += piece_bytes) {
      pieces_.push_back({buffer_.data() + at, std::min(piece_bytes, bytes - at)});
    }
    return pieces_;
  }
  void rx_commit(const RxFrame& frame) override {
    if (frames_left != ~std::size_t{0}) --frames_left;
    last = frame;
    ++queued_;
    if (discard) return;
    kept_.push_back({{buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(frame.bytes)}, frame});
  }
  void rx_cancel() override {}
  std::size_t rx_publish() override {
    const std::size_t count = rx_queued();
    if (count != 0) ++publishes;
    for (auto& frame : kept_)
      published.push_back(std::move(frame));
    kept_.clear();
    queued_ = 0;
    return count;
  }

  RxFrame last;          // the facts of the newest frame
  bool discard = false;  // count frames without keeping (and allocating) them

 private:
  FrameSink* sink_ = nullptr;
  std::vector<std::uint8_t> buffer_;
  std::vector<iovec> pieces_;
  std::deque<PublishedFrame> kept_;
};

}  // namespace glassbox::net
