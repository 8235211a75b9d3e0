// Why a flow ended, why a new one was refused, why a frame was dropped. The numbers are arguments of the
// probes flow_close, flow_refused and frame_drop: append only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

// X(number, enumerator, "name for people")
#define GB_CLOSE_REASONS(X)                             \
  X(0, kNone, "none")                                   \
  X(1, kFinished, "both sides closed")                  \
  X(2, kGuestReset, "reset by the guest")               \
  X(3, kHostReset, "reset by the host's peer")          \
  X(4, kConnectFailed, "connect failed")                \
  X(5, kConnectTimeout, "connect timed out")            \
  X(6, kGuestSilent, "the guest stopped acknowledging") \
  X(7, kIdle, "idle too long")                          \
  X(8, kHostError, "host socket error")                 \
  X(9, kShutdown, "the NAT ended")

#define GB_REFUSE_REASONS(X)                                                            \
  X(0, kNone, "none")                                                                   \
  X(1, kConnectionRefused, "host connect: refused")                                     \
  X(2, kUnreachable, "host connect: host unreachable")                                  \
  X(3, kConnectTimeout, "host connect: timed out")                                      \
  X(4, kHostLoopbackClosed, "host loopback is closed (--allow-host-loopback)")          \
  X(5, kHostAddressClosed, "an address of the host itself is closed")                   \
  X(6, kDenied, "destination denied")                                                   \
  X(7, kBadDestination, "destination cannot be connected to")                           \
  X(8, kTableFull, "flow table full")                                                   \
  X(9, kHostResources, "host out of descriptors, ports or memory")                      \
  X(10, kHostPolicy, "forbidden by the host")                                           \
  X(11, kHostError, "host connect: other error")                                        \
  X(12, kTooManyConnecting, "too many connections being opened")                        \
  X(13, kAlreadyOpen, "a flow with these addresses and ports is open")                  \
  X(14, kNetworkUnreachable, "host connect: no route to the network")                   \
  X(15, kEchoClosed, "no socket for ICMP echo on the host (net.ipv4.ping_group_range)") \
  X(16, kTooManyFlows, "as many flows are open as may be (--max-flows)")                \
  X(17, kTooManyNewFlows, "too many new flows in a second (--max-new-flows)")

#define GB_DROP_REASONS(X)                                                           \
  X(0, kNone, "none")                                                                \
  X(1, kShortFrame, "frame shorter than its headers")                                \
  X(2, kTooLong, "frame too long or in too many pieces")                             \
  X(3, kNotForUs, "Ethernet destination is not ours")                                \
  X(4, kUnknownEthertype, "Ethernet type not served")                                \
  X(5, kBadArp, "malformed ARP")                                                     \
  X(6, kArpNotOurs, "ARP for an address that is not ours")                           \
  X(7, kBadIpHeader, "malformed IP header")                                          \
  X(8, kBadIpChecksum, "IP header checksum")                                         \
  X(9, kFragment, "IP fragment")                                                     \
  X(10, kBadSource, "source address is not the guest's")                             \
  X(11, kUnknownProtocol, "IP protocol not served")                                  \
  X(12, kBadTcpHeader, "malformed TCP header")                                       \
  X(13, kBadChecksum, "TCP, UDP or ICMP checksum")                                   \
  X(14, kNoFlow, "TCP segment of no flow")                                           \
  X(15, kOutOfWindow, "TCP segment outside the window")                              \
  X(16, kOutOfOrder, "TCP segment after a gap")                                      \
  X(17, kDuplicate, "TCP segment that was seen before")                              \
  X(18, kBadReset, "TCP reset not at the expected sequence number")                  \
  X(19, kBadAck, "TCP segment without or with an impossible acknowledgement")        \
  X(20, kUnexpectedSyn, "TCP SYN on an open flow")                                   \
  X(21, kNoBuffer, "no buffer space for payload")                                    \
  X(22, kBadUdp, "malformed UDP")                                                    \
  X(23, kBadIcmp, "malformed ICMP or a type not served")                             \
  X(24, kNoReceiveBuffer, "answer lost: the guest gave no receive buffers")          \
  X(25, kUdpNotServed, "UDP to a port that is not served")                           \
  X(26, kBadDhcp, "malformed DHCP")                                                  \
  X(27, kHopsEnded, "TTL or hop limit ended at the gateway")                         \
  X(28, kExtensionHeader, "IPv6 extension header")                                   \
  X(29, kMappedAddress, "IPv4-mapped address in an IPv6 packet")                     \
  X(30, kBadNeighbour, "malformed neighbour or router discovery")                    \
  X(31, kNeighbourNotOurs, "neighbour solicitation for an address that is not ours") \
  X(32, kBadDns, "malformed DNS query")

namespace glassbox::net {

#define GB_ENUMERATOR(number, name, text) name = number,
#define GB_TEXT(number, name, text) text,
#define GB_COUNT(number, name, text) +1

enum class CloseReason : std::uint32_t { GB_CLOSE_REASONS(GB_ENUMERATOR) };
enum class RefuseReason : std::uint32_t { GB_REFUSE_REASONS(GB_ENUMERATOR) };
enum class DropReason : std::uint32_t { GB_DROP_REASONS(GB_ENUMERATOR) };

inline constexpr std::size_t kCloseReasons = 0 GB_CLOSE_REASONS(GB_COUNT);
inline constexpr std::size_t kRefuseReasons = 0 GB_REFUSE_REASONS(GB_COUNT);
inline constexpr std::size_t kDropReasons = 0 GB_DROP_REASONS(GB_COUNT);

inline constexpr std::array<std::string_view, kCloseReasons> kCloseReasonNames = {GB_CLOSE_REASONS(GB_TEXT)};
inline constexpr std::array<std::string_view, kRefuseReasons> kRefuseReasonNames = {
    GB_REFUSE_REASONS(GB_TEXT)};
inline constexpr std::array<std::string_view, kDropReasons> kDropReasonNames = {GB_DROP_REASONS(GB_TEXT)};

#undef GB_ENUMERATOR
#undef GB_TEXT
#undef GB_COUNT

[[nodiscard]] constexpr std::string_view name_of(CloseReason reason) {
  return kCloseReasonNames.at(static_cast<std::size_t>(reason));
}
[[nodiscard]] constexpr std::string_view name_of(RefuseReason reason) {
  return kRefuseReasonNames.at(static_cast<std::size_t>(reason));
}
[[nodiscard]] constexpr std::string_view name_of(DropReason reason) {
  return kDropReasonNames.at(static_cast<std::size_t>(reason));
}

}  // namespace glassbox::net
