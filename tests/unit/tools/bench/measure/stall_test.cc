// What a client that no longer moves waits for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/bench/measure/stall.h"

namespace glassbox::bench {
namespace {

using ::testing::IsEmpty;
using ::testing::StartsWith;

std::string line(const std::string& local, const std::string& remote, const std::string& state) {
  return "   0: " + local + " " + remote + " " + state +
         " 00000000:00000000 00:00000000 00000000     0        0 111 1\n";
}

TEST(Stall, TheStateOfTheConnectionToTheServerSaysWhatIsMissing) {
  const std::string client = "0F02000A:A2C4";
  const std::string server = "0202000A:1F90";
  EXPECT_THAT(waits_for(line(client, server, "02"), 0x1f90), StartsWith("SYN-SENT: its SYN is not answered"));
  EXPECT_THAT(waits_for(line(client, server, "01"), 0x1f90), StartsWith("ESTABLISHED: "));
  EXPECT_EQ(waits_for(line(client, server, "05"), 0x1f90),
            "FIN-WAIT-2: its FIN was acknowledged, the other end's never came");
}

TEST(Stall, OtherConnectionsAndOldOnesSayNothing) {
  const std::string client = "0F02000A:A2C4";
  const std::string server = "0202000A:1F90";
  EXPECT_THAT(waits_for("", 0x1f90), IsEmpty());
  EXPECT_THAT(waits_for(line(client, server, "06"), 0x1f90), IsEmpty());  // TIME-WAIT
  EXPECT_THAT(waits_for(line(server, client, "01"), 0x1f90), IsEmpty());  // the server's end
  EXPECT_THAT(waits_for(line(client, "0202000A:1F91", "01"), 0x1f90), IsEmpty());
  EXPECT_THAT(waits_for("  sl  local_address rem_address   st\n" + line(client, server, "06") +
                            line(client, server, "04"),
                        0x1f90),
              StartsWith("FIN-WAIT-1"));
}

}  // namespace
}  // namespace glassbox::bench
