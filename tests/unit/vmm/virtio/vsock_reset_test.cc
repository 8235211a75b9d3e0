// A reset of the vsock device, and its want of descriptors.
#include <sys/resource.h>

#include "tests/unit/vmm/virtio/vsock_fixture.h"

namespace glassbox::virtio {
namespace {

// Events of the sockets may still be on their way in this turn of the loop: they must not reach connections
// that wait for their destruction at its end.
TEST_F(VsockDeviceTest, AfterAResetNoSocketIsRegisteredAnyMore) {
  activate();
  const UniqueFd open_one = open();
  const UniqueFd connecting = client();
  say(connecting, "CONNECT 1024\n");
  ASSERT_TRUE(receive(Op::kRequest));
  const UniqueFd in_handshake = client();
  say(in_handshake, "CONN");
  EXPECT_FALSE(receive_now());
  const std::size_t before = loop.registered();
  device->reset();  // and no turn yet
  EXPECT_EQ(loop.registered(), before - 3);
  for (const UniqueFd* fd : {&open_one, &connecting, &in_handshake}) {
    EXPECT_EQ(hear(*fd), "");
    EXPECT_TRUE(ended);
  }
}

// The listener is edge-triggered: a connection that could not be taken would wait for the next one.
TEST_F(VsockDeviceTest, WithoutDescriptorsAConnectionIsRefusedAtOnce) {
  activate();
  {
    const UniqueFd met = client();
  }  // the sanitizer needs descriptors when it meets a type for the first time
  for (int i = 0; i < 4; ++i)
    loop.turn();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const UniqueFd first = client(), second = client();
  const UniqueFd next(::dup(0));
  const rlimit none{static_cast<rlim_t>(next.get()), before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  for (int i = 0; i < 4; ++i)
    loop.turn();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  for (const UniqueFd* fd : {&first, &second}) {
    EXPECT_EQ(hear(*fd), "");
    EXPECT_TRUE(ended);
  }
  EXPECT_TRUE(open());  // and with descriptors it goes on
}

}  // namespace
}  // namespace glassbox::virtio
