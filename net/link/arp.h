// Address resolution for IPv4 (RFC 826): answers for the gateway's and the name server's address. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "bpf/reasons.h"
#include "net/inet.h"

namespace glassbox::net {

// arp: a private copy of what follows the Ethernet header. reply: a frame, of which the Ethernet header is
// left to the caller. There is a reply if kNone is returned; otherwise the reason for dropping the request.
[[nodiscard]] DropReason answer_arp(std::span<const std::uint8_t> arp,
                                    std::span<std::uint8_t, kEthernetHeader + kArpPacket> reply);

}  // namespace glassbox::net
