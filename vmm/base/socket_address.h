// Addresses of the two kinds of socket that the host and the guest's agent meet at.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <linux/vm_sockets.h>

#include <algorithm>
#include <string>

#include "vmm/base/result.h"

namespace glassbox {

// Fails if the path does not fit: 107 bytes at most (unix(7)).
[[nodiscard]] inline Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty()) return fail("the path of a socket is empty");
  if (path.size() >= sizeof(address.sun_path)) {
    return fail("{} is too long for a socket's name: it has {} bytes, {} are possible", path, path.size(),
                sizeof(address.sun_path) - 1);
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  return address;
}

// VMADDR_CID_ANY to listen, VMADDR_CID_HOST for the host (vsock(7)).
[[nodiscard]] inline sockaddr_vm vsock_address(unsigned cid, unsigned port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return address;
}

// As bind(), connect() and accept() take it.
template <typename Address>
[[nodiscard]] const sockaddr* as_sockaddr(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace glassbox
