// Loses what an interface is to send, for a moment: its queueing discipline becomes a FIFO of no length,
// which every kernel with traffic control has built in, so that the first SYN of a connection goes missing
// before the driver sees it. Needs CAP_NET_ADMIN over the interface's namespace.
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

  // Nothing leaves from now on. The name of the call that failed, with errno set, or nullptr.
  [[nodiscard]] const char* begin();
  // All leaves again, kLossMs after this call: longer than it takes to send a SYN, and well before the second
  // one that follows a second after it (RFC 6298, 2.1).
  void release_soon();

  static constexpr int kLossMs = 300;

 private:
  void releaser();

  int netlink_ = -1;
  unsigned index_ = 0;  // of the interface; 0: there is none of that name
  std::mutex mutex_;
  std::condition_variable asked_;
  bool release_ = false, end_ = false;
  std::thread thread_;
};

}  // namespace glassbox::delays::crr
