#include "tests/system/bench/live_vm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/bench/stacks/echo.h"
#include "vmm/base/lab.h"
#include "vmm/base/runtime_dir.h"
#include "vmm/kvm/usability.h"

namespace glassbox::bench::testing {

std::string why_no_traced_guest() {
  if (::geteuid() != 0) return "tracing needs root";
  if (!in_lab() && !kvm::check_kvm().usable)
    return "no usable KVM here: run it inside the lab (tools/in-lab)";
  return {};
}

LiveVm::LiveVm(const std::string& tag, std::vector<std::string> options)
    : name_(fmt::format("{}-{}", tag, ::getpid())) {
  std::vector<std::string> argv{program_path("glassbox"), "run", "-d", "--name", name_};
  argv.insert(argv.end(), options.begin(), options.end());
  const ProgramResult started = run(std::move(argv));
  EXPECT_EQ(started.status, 0) << started.err;
  if (const auto vm = find_running_vm(name_)) pid_ = vm->pid;
}

LiveVm::~LiveVm() {
  EXPECT_EQ(run({program_path("glassbox"), "stop", name_}).status, 0);
}

std::vector<std::string> LiveVm::in_guest(std::vector<std::string> command) const {
  std::vector<std::string> argv{program_path("glassbox"), "exec", name_, "--"};
  argv.insert(argv.end(), command.begin(), command.end());
  return argv;
}

ProgramResult LiveVm::exec(std::vector<std::string> command) const {
  return run(in_guest(std::move(command)));
}

EchoThread::EchoThread()
    : listener_(std::move(*listen_on_loopback(0))),
      thread_([this] { (void)serve_echo(listener_, {}, served_); }) {}

EchoThread::~EchoThread() {
  ::shutdown(listener_.get(), SHUT_RDWR);
  thread_.join();
}

std::string EchoThread::port() const {
  return std::to_string(*bound_port(listener_));
}

}  // namespace glassbox::bench::testing
