// The recorder on a process of the test that fires probes, natively and without a guest; and the command line
// of the program.
#include "tools/trace/record/record.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "bpf/probes.h"
#include "guest/framing.h"
#include "guest/protocol.h"
#include "tests/unit/tools/trace/run_program.h"
#include "tools/trace/file/trace_reader.h"
#include "tools/trace/record/stop_signals.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::trace {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

fs::path temp_path(const std::string& name) {
  return fs::temp_directory_path() / fmt::format("gb-record-test-{}-{}", ::getpid(), name);
}

// The scheduler's events come in addition, in any number.
std::size_t usdt_events(const Trace& trace) {
  return static_cast<std::size_t>(std::count_if(trace.host.events.begin(), trace.host.events.end(),
                                                [](const gb_event& e) { return e.kind < 64; }));
}

// A child that fires a round of probes for each byte that it reads, until end of file.
class ProbedProcess {
 public:
  ProbedProcess() {
    std::array<int, 2> go{}, done{};
    EXPECT_EQ(::pipe2(go.data(), O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(done.data(), O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(go[1]);
      char byte = 0;
      while (::read(go[0], &byte, 1) == 1) {
        for (std::uint64_t flow = 1; flow <= 100; ++flow) {
          probe::process_guest_frame_begin(0x800, 74, 1);
          probe::tcp_syn(flow, 2, 0, 0, 40000, 0, 0, 80, 7);
          probe::rx_inject(flow, 9, 66, 18, 0);
        }
        if (::write(done[1], &byte, 1) != 1) ::_exit(1);
      }
      ::_exit(0);
    }
    ::close(go[0]), ::close(done[1]);
    go_.reset(go[1]), done_.reset(done[0]);
  }
  ~ProbedProcess() {
    go_.reset();
    ::waitpid(pid_, nullptr, 0);
  }
  void fire() {
    char byte = 1;
    EXPECT_EQ(::write(go_.get(), &byte, 1), 1);
    EXPECT_EQ(::read(done_.get(), &byte, 1), 1);
  }
  void end() { go_.reset(); }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  UniqueFd go_, done_;
};

class RecordProcess {
 public:
  // `ring_mib` is the size of the ring buffer; standard error goes to the file `said`, if it is not empty.
  RecordProcess(pid_t target, const fs::path& output, const char* ring_mib = "16",
                const fs::path& said = {}) {
    std::array<int, 2> ready{};
    EXPECT_EQ(::pipe2(ready.data(), O_CLOEXEC), 0);
    const std::string pid = std::to_string(target), fd = std::to_string(ready[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::fcntl(ready[1], F_SETFD, 0);
      if (!said.empty()) ::dup2(::open(said.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
      ::execl(GLASSBOX_TRACE_PROGRAM, "glassbox-trace", "record", "--pid", pid.c_str(), "-o", output.c_str(),
              "--ready-fd", fd.c_str(), "--ring-mib", ring_mib, "--meta", R"({"workload":{"name":"test"}})",
              nullptr);
      ::_exit(127);
    }
    ::close(ready[1]);
    char byte = 0;
    is_ready_ = ::read(ready[0], &byte, 1) == 1;
    ::close(ready[0]);
  }
  [[nodiscard]] bool is_ready() const { return is_ready_; }
  void send(int signal_number) const { ::kill(pid_, signal_number); }
  int wait(int signal_number) {
    if (signal_number != 0) ::kill(pid_, signal_number);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
  bool is_ready_ = false;
};

class Record : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "attaching USDT probes needs root";
  }
  void TearDown() override { fs::remove(path_); }
  fs::path path_ = temp_path("trace");
};

TEST_F(Record, HostSideOfAProcessUntilASignal) {
  ProbedProcess process;
  RecordProcess recorder(process.pid(), path_);
  ASSERT_TRUE(recorder.is_ready());
  process.fire();
  process.fire();
  EXPECT_EQ(recorder.wait(SIGINT), 0);
  const auto trace = read_trace(path_);
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_FALSE(trace->truncated);
  EXPECT_EQ(usdt_events(*trace), 600U);
  EXPECT_EQ(trace->host.lost(), 0U);
  EXPECT_FALSE(trace->host.hooks.empty());
  EXPECT_EQ(trace->meta["workload"]["name"], "test");
  EXPECT_EQ(trace->info["machine"]["kind"], "none");
  ASSERT_EQ(trace->notes.size(), 1U);
  EXPECT_THAT(trace->notes[0], HasSubstr("host side only"));
}

TEST_F(Record, EndsWithTheProcess) {
  ProbedProcess process;
  RecordProcess recorder(process.pid(), path_);
  ASSERT_TRUE(recorder.is_ready());
  process.fire();
  process.end();
  EXPECT_EQ(recorder.wait(0), 0);
  const auto trace = read_trace(path_);
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_FALSE(trace->truncated);
  EXPECT_EQ(usdt_events(*trace), 300U);
  ASSERT_EQ(trace->notes.size(), 1U);
  EXPECT_THAT(trace->notes[0], HasSubstr("ended while it was recorded"));
}

// The socket of a VM, and the file next to it.
class SilentVm {
 public:
  SilentVm() {
    fs::create_directory(dir_);
    std::ofstream(dir_ / "info.json") << "{}";
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket().string().copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);
  }
  ~SilentVm() { fs::remove_all(dir_); }
  SilentVm(const SilentVm&) = delete;
  [[nodiscard]] fs::path socket() const { return dir_ / "vsock.sock"; }
  // Waits until the recorder connects; the guest never answers.
  UniqueFd accept() {
    UniqueFd peer(::accept(listener_.get(), nullptr, nullptr));
    for (char c = 0; c != '\n' && ::read(peer.get(), &c, 1) == 1;) {
    }
    return peer;
  }

 private:
  const fs::path dir_ = temp_path("vm");
  UniqueFd listener_;
};

// While the recorder waits for the guest, more happens on the host than the ring buffer holds.
TEST_F(Record, GuestThatDoesNotAnswerCostsTheHostNoEvent) {
  ProbedProcess process;
  SilentVm vm;
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe2(ready.data(), O_CLOEXEC), 0);
  const pid_t recorder = ::fork();
  if (recorder == 0) {
    ::close(ready[0]);
    RecordOptions options;
    options.target = {process.pid(), vm.socket(), "VM silent"};
    options.output = path_;
    options.ring_bytes = 1U << 20;
    options.ready_fd = ready[1];
    ::_exit(record(options) ? 0 : 1);
  }
  ::close(ready[1]);
  {
    const UniqueFd guest = vm.accept();
    for (int k = 0; k < 60; ++k)
      process.fire();  // 18,000 events; 7,710 fit
  }
  char byte = 0;
  EXPECT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  process.fire();
  ::kill(recorder, SIGINT);
  int status = 0;
  ::waitpid(recorder, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  const auto trace = read_trace(path_);
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->host.lost(), 0U);
  EXPECT_EQ(usdt_events(*trace), 300U);
  ASSERT_EQ(trace->notes.size(), 1U);
  EXPECT_THAT(trace->notes[0], HasSubstr("host side only"));
}

// The agent traces and does not answer the request to stop: a second signal ends the recording.
TEST_F(Record, ASecondSignalEndsTheWaitForTheGuestAndKeepsTheHostsSide) {
  ProbedProcess process;
  SilentVm vm;
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe2(ready.data(), O_CLOEXEC), 0);
  const pid_t recorder = ::fork();
  if (recorder == 0) {
    ::close(ready[0]);
    RecordOptions options;
    options.target = {process.pid(), vm.socket(), "VM stubborn"};
    options.output = path_;
    options.ready_fd = ready[1];
    ::_exit(record(options) ? 0 : 1);
  }
  ::close(ready[1]);
  const UniqueFd guest = vm.accept();
  ASSERT_EQ(::write(guest.get(), "OK 1\n", 5), 5);
  const auto started = protocol::receive_message(guest.get());
  ASSERT_TRUE(started && started->type == protocol::MessageType::kTraceStart);
  ASSERT_TRUE(protocol::send_message(guest.get(), protocol::MessageType::kTraceReady, "x kprobe\n"));
  char byte = 0;
  EXPECT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  process.fire();
  ::kill(recorder, SIGINT);
  const auto told = protocol::receive_message(guest.get());
  ASSERT_TRUE(told && told->type == protocol::MessageType::kTraceStop);
  ::kill(recorder, SIGINT);
  int status = 0;
  ::waitpid(recorder, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  const auto trace = read_trace(path_);
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(usdt_events(*trace), 300U);
  ASSERT_EQ(trace->notes.size(), 1U);
  EXPECT_THAT(trace->notes[0], HasSubstr("a second signal ended the recording"));
}

// The recorder is stopped while more happens than its ring holds: 7,710 events per MiB.
TEST_F(Record, LossesOfTheRingAreNamedByEvent) {
  const fs::path said = temp_path("said");
  ProbedProcess process;
  RecordProcess recorder(process.pid(), path_, "1", said);
  ASSERT_TRUE(recorder.is_ready());
  recorder.send(SIGSTOP);
  for (int k = 0; k < 40; ++k)  // 12,000 probes
    process.fire();
  recorder.send(SIGCONT);
  EXPECT_EQ(recorder.wait(SIGINT), 0);
  const auto trace = read_trace(path_);
  ASSERT_TRUE(trace) << trace.error().message;
  const DropCounters& drops = trace->host.drops;
  std::uint64_t shares = 0;
  for (const char* event : {"process_guest_frame_begin", "tcp_syn", "rx_inject"}) {
    const auto share = drops.find(fmt::format("ring_full:{}", event));
    ASSERT_NE(share, drops.end()) << event;
    shares += share->second;
  }
  EXPECT_EQ(usdt_events(*trace) + shares, 12'000U);
  EXPECT_GE(drops.at("ring_full"), shares);
  std::ifstream in(said);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  EXPECT_THAT(text, HasSubstr("host ring_full:rx_inject "));
  EXPECT_THAT(text, HasSubstr("a larger ring buffer may hold them: --ring-mib 2\n"));
  fs::remove(said);
}

TEST(Program, MistakesAreOneLineAndAStatus) {
  const fs::path garbage = temp_path("garbage");
  std::ofstream(garbage) << "not a trace, and longer than a header would be";
  expect_one_line(run_program("report " + garbage.string()), 1, "not a glassbox trace");
  expect_one_line(run_program("report /nonexistent/file"), 1,
                  "cannot open the trace: No such file or directory");
  expect_one_line(run_program("report"), 2, "trace is required");
  expect_one_line(run_program("report x --format yaml"), 2, "yaml");
  expect_one_line(run_program("frobnicate"), 2, "");
  expect_one_line(run_program("record --pid 1 --name x -o y"), 2, "");
  // A program outside a checkout with tools/in-lab does not look for a lab.
  expect_one_line(run_program("record --pid 4194304 -o " + garbage.string()), 1, "4194304");
  expect_one_line(run_program("record --meta '[1]' --pid 1 -o " + garbage.string()), 2, "--meta");
  fs::remove(garbage);
}

TEST(Program, HelpAndVersion) {
  EXPECT_THAT(run_program("--help").output, HasSubstr("Examples:"));
  EXPECT_EQ(run_program("record --help").status, 0);
  EXPECT_THAT(run_program("--version").output, HasSubstr("glassbox-trace " GLASSBOX_VERSION));
}

TEST(Program, ReportsATraceAndWhatIsRemovedFromIt) {
  const std::string trace = GLASSBOX_SOURCE_DIR "/tests/unit/tools/trace/data/fork.trace";
  const Ran table = run_program("report " + trace);
  EXPECT_EQ(table.status, 0);
  EXPECT_THAT(table.output, HasSubstr("fork + exec of the client"));
  EXPECT_EQ(run_program("report " + trace + " --format json").status, 0);
  EXPECT_THAT(run_program("report " + trace + " --cycle 2").output, HasSubstr("cycle 2: "));
  EXPECT_THAT(run_program("report " + trace + " --slowest 1").output, HasSubstr("clone_begin -> fork"));
  EXPECT_THAT(run_program("report " + trace + " --without tcp_syn").output,
              HasSubstr("note: without the events tcp_syn"));
  const Ran host_only = run_program("report " + trace + " --host-only");
  EXPECT_EQ(host_only.status, 0);
  EXPECT_THAT(host_only.output, HasSubstr("in the guest (not traced)"));
  EXPECT_THAT(host_only.output, Not(HasSubstr("fork + exec of the client")));
  expect_one_line(run_program("report " + trace + " --without nothing"), 2, "there is no event nothing");
  expect_one_line(run_program("report " + trace + " --cycle 7"), 2, "fork.trace has 6 cycles");
}

TEST(Program, ATruncatedTraceIsReportedWithANote) {
  const fs::path cut = temp_path("cut");
  std::ifstream in(GLASSBOX_SOURCE_DIR "/tests/unit/tools/trace/data/single.trace", std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  std::ofstream(cut, std::ios::binary) << bytes.substr(0, bytes.size() - 40'000);
  EXPECT_THAT(run_program("report " + cut.string()).output, HasSubstr("note: the trace is truncated"));
  fs::remove(cut);
}

TEST(Program, AnnotationsReachTheReport) {
  const fs::path copy = temp_path("copy");
  fs::copy_file(GLASSBOX_SOURCE_DIR "/tests/unit/tools/trace/data/single.trace", copy,
                fs::copy_options::overwrite_existing);
  EXPECT_EQ(run_program("annotate " + copy.string() + " --meta '{\"client\":{\"p50_us\":11300.0}}'").status,
            0);
  EXPECT_THAT(run_program("report " + copy.string()).output, HasSubstr("total by the client's own clock"));
  fs::remove(copy);
}

TEST(StopSignals, AreTakenWhileItLivesAndRestoredAfterwards) {
  const pid_t child = ::fork();
  if (child == 0) {
    {
      const auto signals = StopSignals::take_over();
      if (!signals || signals->take() != 0) ::_exit(1);
      ::raise(SIGINT);
      if (signals->take() != SIGINT) ::_exit(2);
      ::raise(SIGHUP);  // unread, and dropped: it asked for an end that came anyway
    }
    ::raise(SIGTERM);
    ::_exit(3);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
}

// The directory that a monitor makes for its VM; the claim does not need the VM itself.
TEST(ClaimRecording, ASecondProcessIsToldWhoRecords) {
  const fs::path dir = temp_path("vm");
  fs::create_directory(dir);
  std::ofstream(dir / "info.json") << "{}";
  const RecordTarget target{1, dir / "vsock.sock", "VM demo (pid 1)"};
  const auto claim = claim_recording(target);
  ASSERT_TRUE(claim) << claim.error().message;
  const pid_t child = ::fork();
  if (child == 0) {
    const auto second = claim_recording(target);
    const bool told = !second && second.error().message ==
                                     fmt::format(
                                         "VM demo (pid 1) is being recorded by process {}: one recording "
                                         "at a time",
                                         ::getppid());
    ::_exit(told ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  fs::remove_all(dir);
}

TEST(CommandLine, AnOptionThatDoesNotExistIsNamedBeforeOneThatIsMissing) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(
      ::popen(GLASSBOX_TRACE_PROGRAM " record --nmae demo 2>&1", "r"), ::pclose);
  std::array<char, 256> line{};
  ASSERT_NE(std::fgets(line.data(), line.size(), pipe.get()), nullptr);
  EXPECT_THAT(line.data(), HasSubstr("The option --nmae does not exist"));
}

// On any machine: what the doctor calls working was used, and what does not work has a reason and advice.
TEST(Doctor, SaysForEveryHookWhetherItWorksAndWhatToDo) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(
      ::popen(GLASSBOX_TRACE_PROGRAM " doctor --format json", "r"), ::pclose);
  std::string text;
  std::array<char, 4096> part{};
  for (std::size_t n = 0; (n = std::fread(part.data(), 1, part.size(), pipe.get())) > 0;)
    text.append(part.data(), n);
  const auto json = nlohmann::json::parse(text);
  std::map<std::string, bool> works;
  bool fit = true;
  for (const auto& finding : json["findings"]) {
    const bool yes = finding["works"];
    works[finding["what"]] = yes;
    if (finding["needed"]) fit &= yes;
    EXPECT_NE(finding["detail"], "") << finding;
    EXPECT_NE(finding["gives"], "") << finding;
    EXPECT_EQ(finding["to_do"] == "", yes) << finding;
  }
  for (const char* what : {"permission", "kernel BTF", "USDT, ring buffer", "USDT semaphores", "tp_btf",
                           "KVM tracepoints", "kprobe", "fentry", "KVM", "TSC offset"})
    EXPECT_TRUE(works.contains(what)) << what;
  EXPECT_EQ(json["fit"], fit);
  EXPECT_EQ(works["permission"], ::geteuid() == 0);
  if (::geteuid() != 0) GTEST_SKIP() << "not root: no hook can be tried";
  // This machine ran the recorder's tests above, so these work here.
  EXPECT_TRUE(works["USDT, ring buffer"]);
  EXPECT_TRUE(works["tp_btf"]);
  EXPECT_TRUE(works["USDT semaphores"]);
}

}  // namespace
}  // namespace glassbox::trace
