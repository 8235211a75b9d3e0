// Drops everything that an interface sends, for a moment, so that the first SYN of a connection is lost
// before the driver sees it.
//
// Its queueing discipline becomes a FIFO of length 0 (pfifo, which every kernel with traffic control has
// built in). Needs CAP_NET_ADMIN in the interface's namespace. Owns a thread that ends the loss.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

namespace glassbox::delays::crr {

class SynLoss {
 public:
  explicit SynLoss(const char* interface);
  SynLoss(const SynLoss&) = delete;
  SynLoss& operator=(const SynLoss&) = delete;
  ~SynLoss();

  // Starts the loss. Returns nullptr, or the name of the call that failed, with errno set.
  [[nodiscard]] const char* begin();
  // Ends the loss kLossMs after this call: long after the first SYN, and well before the second, which
  // follows one second later (RFC 6298, 2.1).
  void release_soon();

  static constexpr int kLossMs = 300;

 private:
  void releaser();

  int netlink_ = -1;
  unsigned index_ = 0;  // of the interface; 0 if it does not exist
  std::mutex mutex_;
  std::condition_variable asked_;
  bool release_ = false, end_ = false;
  std::thread thread_;
};

}  // namespace glassbox::delays::crr
