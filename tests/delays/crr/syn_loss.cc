#include "tests/delays/crr/syn_loss.h"

#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace glassbox::delays::crr {
namespace {

struct QdiscRequest {
  nlmsghdr header{};
  tcmsg message{};
  char attributes[64]{};

  QdiscRequest(unsigned short type, unsigned short flags, unsigned index) {
    header.nlmsg_len = NLMSG_LENGTH(sizeof(message));
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<unsigned short>(NLM_F_REQUEST | NLM_F_ACK | flags);
    message.tcm_family = AF_UNSPEC;
    message.tcm_ifindex = static_cast<int>(index);
    message.tcm_parent = TC_H_ROOT;
  }
  void add(unsigned short type, const void* data, std::size_t size) {
    auto* at = reinterpret_cast<char*>(&header) + NLMSG_ALIGN(header.nlmsg_len);
    rtattr attribute{};
    attribute.rta_len = static_cast<unsigned short>(RTA_LENGTH(size));
    attribute.rta_type = type;
    std::memcpy(at, &attribute, sizeof(attribute));
    std::memcpy(at + RTA_LENGTH(0), data, size);
    header.nlmsg_len = NLMSG_ALIGN(header.nlmsg_len) + RTA_ALIGN(attribute.rta_len);
  }
};
static_assert(offsetof(QdiscRequest, message) == NLMSG_HDRLEN);

// Sends the request. Returns 0, or the errno of the kernel's answer.
int ask(int netlink, const QdiscRequest& request) {
  if (::send(netlink, &request, request.header.nlmsg_len, 0) < 0) return errno;
  struct {
    nlmsghdr header;
    nlmsgerr answer;
    char rest[256];
  } reply{};
  if (::recv(netlink, &reply, sizeof(reply), 0) < 0) return errno;
  return reply.header.nlmsg_type == NLMSG_ERROR ? -reply.answer.error : EPROTO;
}

}  // namespace

SynLoss::SynLoss(const char* interface)
    : netlink_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)),
      index_(::if_nametoindex(interface)),
      thread_([this] { releaser(); }) {}

SynLoss::~SynLoss() {
  {
    const std::scoped_lock lock(mutex_);
    end_ = true;
  }
  asked_.notify_one();
  thread_.join();
  if (netlink_ >= 0) ::close(netlink_);
}

const char* SynLoss::begin() {
  const std::scoped_lock lock(mutex_);  // waits for a release in progress
  QdiscRequest request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, index_);
  constexpr char kKind[] = "pfifo";
  const tc_fifo_qopt none{.limit = 0};
  request.add(TCA_KIND, kKind, sizeof(kKind));
  request.add(TCA_OPTIONS, &none, sizeof(none));
  errno = ask(netlink_, request);
  return errno == 0 ? nullptr : "losing segments";
}

void SynLoss::release_soon() {
  {
    const std::scoped_lock lock(mutex_);
    release_ = true;
  }
  asked_.notify_one();
}

void SynLoss::releaser() {
  std::unique_lock lock(mutex_);
  for (;;) {
    asked_.wait(lock, [this] { return release_ || end_; });
    if (!release_) return;
    asked_.wait_for(lock, std::chrono::milliseconds(kLossMs), [this] { return end_; });
    (void)ask(netlink_, QdiscRequest(RTM_DELQDISC, 0, index_));
    release_ = false;
  }
}

}  // namespace glassbox::delays::crr
