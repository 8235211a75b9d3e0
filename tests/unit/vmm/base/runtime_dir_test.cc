#include "vmm/base/runtime_dir.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <array>
#include <thread>
#include <utility>

#include "tests/unit/vmm/base/temp_dir.h"

namespace glassbox {
namespace {

class RuntimeDirTest : public testing::Test {
 protected:
  void SetUp() override { ::setenv("GLASSBOX_RUNTIME_DIR", (dir_.path() / "run").c_str(), 1); }
  void TearDown() override { ::unsetenv("GLASSBOX_RUNTIME_DIR"); }
  std::filesystem::path place(const std::string& name) const { return dir_.path() / "run" / name; }
  test::TempDir dir_;
};

TEST_F(RuntimeDirTest, LivesAsLongAsTheClaim) {
  {
    auto claim = RuntimeDir::claim("web");
    ASSERT_TRUE(claim) << claim.error().message;
    EXPECT_EQ(claim->name(), "web");
    ASSERT_TRUE(claim->write_info(R"({"name":"web"})"));
    const auto vms = list_running_vms();
    ASSERT_EQ(vms.size(), 1U);
    EXPECT_EQ(vms[0].name, "web");
    EXPECT_EQ(vms[0].pid, ::getpid());
    EXPECT_EQ(vms[0].vsock_path(), place("web") / "vsock.sock");
    EXPECT_TRUE(find_running_vm("web"));
    struct stat info {};
    ASSERT_EQ(::stat(place("web").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700U);
  }
  EXPECT_FALSE(std::filesystem::exists(place("web")));
  EXPECT_TRUE(list_running_vms().empty());
}

TEST_F(RuntimeDirTest, NameInUseIsRefusedAndNamesThePid) {
  auto claim = RuntimeDir::claim("web");
  ASSERT_TRUE(claim);
  const auto second = RuntimeDir::claim("web");
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(std::to_string(::getpid())), std::string::npos)
      << second.error().message;
  EXPECT_TRUE(std::filesystem::exists(place("web") / "pid"));
}

TEST_F(RuntimeDirTest, StaleDirectoryIsReplaced) {
  std::filesystem::create_directories(place("web"));
  std::ofstream(place("web") / "pid") << "1\n";
  std::ofstream(place("web") / "vsock.sock") << "left behind";
  EXPECT_TRUE(list_running_vms().empty());  // pid 1 lives, but does not hold the lock
  auto claim = RuntimeDir::claim("web");
  ASSERT_TRUE(claim) << claim.error().message;
  EXPECT_FALSE(std::filesystem::exists(place("web") / "vsock.sock"));
  EXPECT_EQ(list_running_vms().at(0).pid, ::getpid());
}

TEST_F(RuntimeDirTest, KilledMonitorLeavesAStaleDirectoryOnly) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto claim = RuntimeDir::claim("web");
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(std::filesystem::exists(place("web")));
  EXPECT_TRUE(list_running_vms().empty());
  EXPECT_FALSE(std::filesystem::exists(place("web")));  // the next command has removed it
  EXPECT_TRUE(RuntimeDir::claim("web"));
}

TEST_F(RuntimeDirTest, DaemonKeepsTheClaimOfItsParent) {
  int to_child[2], from_child[2];
  ASSERT_EQ(::pipe(to_child), 0);
  ASSERT_EQ(::pipe(from_child), 0);
  pid_t child = 0;
  {
    auto claim = RuntimeDir::claim("web");
    ASSERT_TRUE(claim);
    child = ::fork();
    if (child == 0) {
      ::close(to_child[1]);
      char byte = claim->write_pid(::getpid()) ? 'y' : 'n';
      (void)!::write(from_child[1], &byte, 1);
      (void)!::read(to_child[0], &byte, 1);
      { const RuntimeDir mine = std::move(*claim); }
      ::_exit(0);
    }
    char byte = 0;
    ASSERT_EQ(::read(from_child[0], &byte, 1), 1);
    ASSERT_EQ(byte, 'y');
  }
  // The parent's object is gone, the directory is not.
  ASSERT_TRUE(find_running_vm("web"));
  EXPECT_EQ(find_running_vm("web")->pid, child);
  ::close(to_child[1]);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(std::filesystem::exists(place("web")));
}

TEST_F(RuntimeDirTest, BadNamesAreRefused) {
  for (const std::string name : {"../x", "-x", ".x", "a/b", "a b", "\xc3\xa4", "x\n"}) {
    EXPECT_FALSE(RuntimeDir::claim(name)) << name;
  }
  EXPECT_FALSE(RuntimeDir::claim(std::string(65, 'x')));
  EXPECT_TRUE(RuntimeDir::claim(std::string(64, 'x')));
  EXPECT_TRUE(RuntimeDir::claim("a.b_c-9"));
}

TEST_F(RuntimeDirTest, EmptyNamePicksOne) {
  auto claim = RuntimeDir::claim("");
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->name(), "vm-" + std::to_string(::getpid()));
}

TEST_F(RuntimeDirTest, LinkInPlaceOfADirectoryIsNotFollowed) {
  std::filesystem::create_directories(dir_.path() / "elsewhere");
  std::filesystem::create_directories(dir_.path() / "run");
  std::filesystem::create_symlink(dir_.path() / "elsewhere", place("web"));
  EXPECT_FALSE(RuntimeDir::claim("web"));
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path() / "elsewhere"));
}

TEST_F(RuntimeDirTest, DirectoryOfAnotherUserIsNotUsed) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make a directory of another user";
  std::filesystem::create_directories(place("web"));
  ASSERT_EQ(::chown(place("web").c_str(), 65534, 65534), 0);
  EXPECT_FALSE(RuntimeDir::claim("web"));
}

// Another user's directory, locked as a VM's is, names a process of root's: `sudo glassbox stop web` would
// kill it.
TEST_F(RuntimeDirTest, APidThatIsNotTheOwnersIsNoVm) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to act as another user";
  constexpr uid_t kNobody = 65534;
  std::filesystem::create_directories(place("web"));
  const auto own_child = [&](bool tells_the_truth) {
    std::array<int, 2> up{}, down{};
    EXPECT_EQ(::pipe(up.data()) | ::pipe(down.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const int fd = ::open((place("web") / "pid").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
      struct flock lock {};
      lock.l_type = F_WRLCK;
      const std::string pid = std::to_string(tells_the_truth ? ::getpid() : ::getppid()) + "\n";
      char byte = 0;
      const bool ok = ::fchown(fd, kNobody, kNobody) == 0 && ::setresuid(kNobody, kNobody, kNobody) == 0 &&
                      ::fcntl(fd, F_OFD_SETLK, &lock) == 0 && ::write(fd, pid.data(), pid.size()) > 0;
      ::close(down[1]);
      const bool told = ::write(up[1], &byte, 1) == 1 && ::read(down[0], &byte, 1) == 0;
      ::_exit(ok && told ? 0 : 1);
    }
    ::close(up[1]), ::close(down[0]);
    char byte = 0;
    EXPECT_EQ(::read(up[0], &byte, 1), 1);
    const auto vms = list_running_vms();
    ::close(down[1]), ::close(up[0]);
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    return std::pair{child, vms};
  };
  ASSERT_EQ(::chown(place("web").c_str(), kNobody, kNobody), 0);
  EXPECT_TRUE(own_child(false).second.empty());
  const auto [child, vms] = own_child(true);
  ASSERT_EQ(vms.size(), 1U);
  EXPECT_EQ(vms[0].pid, child);
  ASSERT_EQ(::chown(place("web").c_str(), 0, 0), 0);  // a directory of root's with a file of another's
  EXPECT_TRUE(own_child(true).second.empty());
}

TEST_F(RuntimeDirTest, UnknownNameSaysWhichThereAre) {
  auto claim = RuntimeDir::claim("web");
  ASSERT_TRUE(claim);
  const auto found = find_running_vm("wbe");
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("wbe"), std::string::npos);
  EXPECT_NE(found.error().message.find("running: web"), std::string::npos);
}

class ConnectVsock : public RuntimeDirTest {
 protected:
  void listen() {
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_ = (dir_.path() / "vsock.sock").string();
    std::copy(path_.begin(), path_.end(), address.sun_path);
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::listen(listener_.get(), 1), 0);
  }
  // A monitor that answers one CONNECT with `answer` and hangs up.
  void answer_with(const std::string& answer) {
    ASSERT_NO_FATAL_FAILURE(listen());
    monitor_ = std::thread([this, answer, l = std::move(listener_)] {
      const UniqueFd fd(::accept(l.get(), nullptr, nullptr));
      while (!request_.ends_with('\n')) {
        char byte = 0;
        if (::recv(fd.get(), &byte, 1, 0) != 1) return;
        request_.push_back(byte);
      }
      (void)::send(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    });
  }
  void TearDown() override {
    if (monitor_.joinable()) monitor_.join();
    RuntimeDirTest::TearDown();
  }
  std::string path_;
  std::string request_;
  UniqueFd listener_;
  std::thread monitor_;
};

TEST_F(ConnectVsock, StreamBeginsBehindTheHandshake) {
  answer_with("OK 1073741824\nhello");
  auto fd = connect_vsock(path_, 1024);
  ASSERT_TRUE(fd) << fd.error().message;
  char bytes[8] = {};
  EXPECT_EQ(::recv(fd->get(), bytes, 5, MSG_WAITALL), 5);
  EXPECT_STREQ(bytes, "hello");
  monitor_.join();
  EXPECT_EQ(request_, "CONNECT 1024\n");
}

TEST_F(ConnectVsock, ClosedPortAndOtherAnswersAreErrors) {
  answer_with("");
  EXPECT_FALSE(connect_vsock(path_, 1024));
}

TEST_F(ConnectVsock, EndlessAnswerIsAnError) {
  answer_with(std::string(1000, 'O'));
  EXPECT_FALSE(connect_vsock(path_, 1024));
}

TEST_F(ConnectVsock, SilentGuestIsLeftWhenTheCallerHasEnough) {
  ASSERT_NO_FATAL_FAILURE(listen());  // and nobody accepts
  const UniqueFd cancel(::eventfd(1, EFD_CLOEXEC));
  const auto fd = connect_vsock(path_, 1024, 3600, cancel.get());
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code, ECANCELED);
}

TEST_F(ConnectVsock, AListenerWhoDoesNotOwnTheDirectoryIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give a directory away";
  ASSERT_NO_FATAL_FAILURE(listen());
  ASSERT_EQ(::chown(dir_.path().c_str(), 65534, 65534), 0);
  const auto fd = connect_vsock(path_, 1024);
  ASSERT_FALSE(fd);
  EXPECT_NE(fd.error().message.find("owner of its directory"), std::string::npos) << fd.error().message;
}

TEST_F(ConnectVsock, NoSocketIsAnErrorWithItsName) {
  const auto fd = connect_vsock("/no/such/vsock.sock", 1024);
  ASSERT_FALSE(fd);
  EXPECT_NE(fd.error().message.find("/no/such/vsock.sock"), std::string::npos);
}

}  // namespace
}  // namespace glassbox
