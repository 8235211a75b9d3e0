// Address resolution for IPv4 (RFC 826): the gateway and the name server answer for themselves.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "net/inet.h"
#include "net/reasons.h"

namespace glassbox::net {

// arp: what follows the Ethernet header, in a private copy. reply: a frame whose Ethernet header is still to
// be written. Nothing else than kNone means that there is a reply.
[[nodiscard]] DropReason answer_arp(std::span<const std::uint8_t> arp,
                                    std::span<std::uint8_t, kEthernetHeader + kArpPacket> reply);

}  // namespace glassbox::net
