#include "net/host/host_refusal.h"

#include <cerrno>

namespace glassbox::net {
namespace {

constexpr std::uint8_t kUnreachable = 3;  // RFC 792
constexpr std::uint8_t kTimeExceeded = 11;
constexpr std::uint8_t kUnreachable6 = 1;  // RFC 4443
constexpr std::uint8_t kTimeExceeded6 = 3;

}  // namespace

RefuseReason refuse_reason_of(int error) {
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
      return RefuseReason::kConnectionRefused;
    case ENETUNREACH:
    case ENETDOWN:
      return RefuseReason::kNetworkUnreachable;
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENONET:
      return RefuseReason::kUnreachable;
    case ETIMEDOUT:
      return RefuseReason::kConnectTimeout;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
    case EADDRINUSE:
    case EAGAIN:
      return RefuseReason::kHostResources;
    case EACCES:
    case EPERM:
      return RefuseReason::kHostPolicy;
    default:
      return RefuseReason::kHostError;
  }
}

bool translate(const HostError& error, const DestinationPolicy& policy, const IpAddress& host_destination,
               const FlowKey& key, IcmpError& out) {
  const bool v6 = !key.dst.is_v4();
  if (v6 == host_destination.is_v4()) {  // the guest's name server, which is of the other family on the host
    out = make_icmp_error(IcmpErrorKind::kHostUnreachable, v6);
    return true;
  }
  const bool passed = v6 ? error.type >= kUnreachable6 && error.type <= kTimeExceeded6
                         : error.type == kUnreachable || error.type == kTimeExceeded;
  if (!passed) return false;
  out = {error.type, error.code, error.info, error.offender};
  if (error.offender == host_destination) {
    out.from = key.dst;
  } else {
    out.from = policy.seen_by_guest(error.offender);
  }
  return true;
}

}  // namespace glassbox::net
