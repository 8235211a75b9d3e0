// main() of the test programs that boot guests with the command line: a runtime directory of their own, since
// what else runs on the machine is none of their business, and no guest that outlives them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "vmm/base/runtime_dir.h"

namespace {

// A process that outlives this one if it is killed (by a time-out, say) and then ends the guests it left. It
// waits for the end of a pipe that only we hold open.
void leave_no_guests(const std::string& runtime_dir) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0 || ::fork() != 0) return;
  ::close(fds[1]);
  ::setsid();
  for (int fd = 0; fd < 3; ++fd)
    ::close(fd);  // whoever waits for our output does not wait for this
  char byte = 0;
  (void)!::read(fds[0], &byte, 1);
  for (const glassbox::RunningVm& vm : glassbox::list_running_vms())
    ::kill(vm.pid, SIGTERM);
  std::error_code error;
  std::filesystem::remove_all(runtime_dir, error);
  ::_exit(0);
}

}  // namespace

// 77 tells ctest that something was skipped and nothing failed.
int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  // On /run, where sockets may be: the build directory need not be able to hold any.
  char name[] = "/run/glassbox-test-XXXXXX";
  if (::mkdtemp(name) == nullptr) return 1;
  ::setenv("GLASSBOX_RUNTIME_DIR", name, 1);
  leave_no_guests(name);
  const int status = RUN_ALL_TESTS();
  std::filesystem::remove_all(name);
  if (status == 0 && testing::UnitTest::GetInstance()->skipped_test_count() > 0) return 77;
  return status;
}
