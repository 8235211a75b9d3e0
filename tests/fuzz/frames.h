// The frame entry of the NAT as a function of bytes, for libFuzzer and for the replay of saved inputs.
//
// An input is a sequence of frames: 1 byte of flags, 2 bytes of length (big-endian), the frame. Frames that
// are too short or too long for what they claim are the point; what cannot be guessed is repaired where the
// flags ask for it, or hardly any input would get past the first checksum:
//   1  the IP header's checksum     2  TCP: the acknowledgement number follows what the NAT sent last
//   4  TCP: the sequence number follows what the NAT acknowledged last
//   8  half a minute passes before the frame
// TCP and UDP checksums count as offloaded. Port 7 of 10.0.2.2 is an echo server; nothing else can be
// reached.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
