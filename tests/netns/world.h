// A small internet for tests: the host that the NAT runs on, a router, and a network behind it, each a
// network namespace. The destructor removes all of it.
//
//   host 192.0.2.1 --- 192.0.2.2 router 198.51.100.1 --- 198.51.100.9 far
//   2001:db8:1::1 --- 2001:db8:1::2      2001:db8:2::1 --- 2001:db8:2::9
//
// The router answers "host unreachable" for 203.0.113.0/24 and "prohibited" for 192.88.99.0/24.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/netns/harness.h"

namespace glassbox {

class World {
 public:
  // Moves the calling thread into the host's namespace; the destructor moves it back.
  World();
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // The reason why there is no world; empty if there is one.
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  // False: the world has IPv4 only.
  [[nodiscard]] bool has_ipv6() const { return has_ipv6_; }
  // The argv that runs a command in the far network.
  [[nodiscard]] std::vector<std::string> far(const std::vector<std::string>& command) const;

  static constexpr const char* kRouter = "192.0.2.2";
  static constexpr const char* kFar = "198.51.100.9";
  static constexpr const char* kHost6 = "2001:db8:1::1";
  static constexpr const char* kRouter6 = "2001:db8:1::2";
  static constexpr const char* kFar6 = "2001:db8:2::9";

 private:
  void make();
  UniqueFd before_;
  std::unique_ptr<Process> router_, far_;
  std::string why_not_;
  bool has_ipv6_ = false;
};

// A test in such a world; skipped if the machine cannot make one.
class NetnsWorld : public testing::Test {
 protected:
  void SetUp() override;
  std::unique_ptr<World> world;
};

}  // namespace glassbox
