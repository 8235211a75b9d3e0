// main() of the test programs that boot guests by the command line. It gives the program a runtime directory
// of its own, so that other VMs of the machine do not matter, and makes sure that no guest outlives the
// program.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "vmm/base/runtime_dir.h"

namespace {

// Forks a process that ends the remaining guests if this one is killed, for example by a time-out. It waits
// for the end of file of a pipe that only this process holds open.
void end_guests_if_killed(const std::string& runtime_dir) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0 || ::fork() != 0) return;
  ::close(fds[1]);
  ::setsid();
  for (int fd = 0; fd < 3; ++fd)
    ::close(fd);  // or a reader of the test's output would wait for this process
  char byte = 0;
  (void)!::read(fds[0], &byte, 1);
  for (const glassbox::RunningVm& vm : glassbox::list_running_vms())
    ::kill(vm.pid, SIGTERM);
  std::error_code error;
  std::filesystem::remove_all(runtime_dir, error);
  ::_exit(0);
}

}  // namespace

// Exit status 77 tells ctest that a test was skipped and none failed.
int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  // In /run, because the build directory may be on a file system that cannot hold sockets.
  char name[] = "/run/glassbox-test-XXXXXX";
  if (::mkdtemp(name) == nullptr) return 1;
  ::setenv("GLASSBOX_RUNTIME_DIR", name, 1);
  end_guests_if_killed(name);
  const int status = RUN_ALL_TESTS();
  std::filesystem::remove_all(name);
  if (status == 0 && testing::UnitTest::GetInstance()->skipped_test_count() > 0) return 77;
  return status;
}
