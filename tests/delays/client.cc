#include "tests/delays/client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace glassbox::delays {
namespace {

constexpr int kStepLimitMs = 60'000;  // a cycle that loses a SYN takes one second; a few in the lab

Status wait_readable(int fd) {
  pollfd poll_fd{fd, POLLIN, 0};
  const int ready = ::poll(&poll_fd, 1, kStepLimitMs);
  if (ready < 0) return fail_errno(errno, "the client: poll");
  if (ready == 0) return fail("the client did not answer within {} s", kStepLimitMs / 1000);
  return {};
}

}  // namespace

Result<StepClient> StepClient::start(std::vector<std::string> argv, std::size_t most_cycles) {
  argv.insert(argv.end(), {"--step", "--stamps", "--cycles", std::to_string(most_cycles)});
  int in[2] = {}, out[2] = {};
  if (::pipe2(in, O_CLOEXEC) < 0 || ::pipe2(out, O_CLOEXEC) < 0) return fail_errno(errno, "pipe");
  StepClient client;
  client.in_.reset(in[1]);
  client.out_.reset(out[0]);
  const UniqueFd theirs_in(in[0]), theirs_out(out[1]);
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (std::string& word : argv)
    words.push_back(word.data());
  words.push_back(nullptr);
  client.pid_ = ::fork();
  if (client.pid_ < 0) return fail_errno(errno, "fork");
  if (client.pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(theirs_in.get(), STDIN_FILENO);
    ::dup2(theirs_out.get(), STDOUT_FILENO);
    ::execvp(words[0], words.data());
    ::_exit(127);
  }
  return client;
}

StepClient::StepClient(StepClient&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), in_(std::move(other.in_)), out_(std::move(other.out_)) {}

StepClient::~StepClient() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

Status StepClient::go() {
  if (::write(in_.get(), "g", 1) != 1) return fail_errno(errno, "cannot tell the client to run a cycle");
  return {};
}

Status StepClient::wait_for_end() {
  GB_TRY(wait_readable(out_.get()));
  char byte = 0;
  const ssize_t n = ::read(out_.get(), &byte, 1);
  if (n != 1 || byte != '\n')
    return fail("the client ended before the end of its cycle, or wrote something else");
  return {};
}

Result<nlohmann::json> StepClient::finish() {
  in_.reset();
  std::string text;
  for (;;) {
    GB_TRY(wait_readable(out_.get()));
    char buffer[4096];
    const ssize_t n = ::read(out_.get(), buffer, sizeof(buffer));
    if (n <= 0) break;
    text.append(buffer, static_cast<std::size_t>(n));
  }
  int status = 0;
  ::waitpid(std::exchange(pid_, -1), &status, 0);
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (status != 0 || !json.is_object() || json.value("failed", 1) != 0)
    return fail("the client ended with status {:#x}: {}", status, text.substr(0, 200));
  return json;
}

}  // namespace glassbox::delays
