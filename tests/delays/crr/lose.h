// Makes an interface lose what it should send, for a short time. Its queueing discipline becomes a FIFO of
// length 0, which every kernel with traffic control has, so that the first SYN of a connection is lost before
// the driver. Needs CAP_NET_ADMIN over the interface's namespace.
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

  // From now on nothing is sent. Returns nullptr, or the name of the system call that failed, with errno set.
  [[nodiscard]] const char* begin();
  // Sending works again kLossMs after this call. That is longer than it takes to send a SYN, and well before
  // its retransmission after one second (RFC 6298, 2.1).
  void release_soon();

  static constexpr int kLossMs = 300;

 private:
  void releaser();

  int netlink_ = -1;
  unsigned index_ = 0;  // of the interface; 0 if there is none of that name
  std::mutex mutex_;
  std::condition_variable asked_;
  bool release_ = false, end_ = false;
  std::thread thread_;
};

}  // namespace glassbox::delays::crr
