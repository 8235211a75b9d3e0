// A VM on a thread of its own: the machine, its devices and its runtime directory. The main thread is free
// for the user's terminal and signals.
//
//   GB_ASSIGN(auto vm, VmHost::start(spec, signals));
//   poll: vm->ready_fd() then vm->take_ready(); vm->ended_fd(); vm->stop(); const MachineEnd& o = vm->wait();
//
// Thread: all calls on one thread; the VM has its own.
#pragma once

#include <ctime>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/nat_config.h"
#include "vmm/base/result.h"
#include "vmm/base/runtime_dir.h"
#include "vmm/base/unique_fd.h"
#include "vmm/cli/console_log.h"
#include "vmm/client/ready_listener.h"
#include "vmm/client/signals.h"
#include "vmm/image/boot_image.h"
#include "vmm/machine/device_set.h"
#include "vmm/machine/machine.h"

namespace glassbox::cli {

struct VmSpec {
  std::string kernel;
  std::string initrd;  // may be empty
  std::vector<AddedPath> added;
  std::string append;
  unsigned vcpus = 1;
  std::uint64_t memory_mib = 512;
  std::string name;  // empty: one is chosen
  net::NatConfig nat;
  bool console_on_stdio = false;     // the serial console is the user interface
  int console_input = 0;             // with it: where keys come from; stays the caller's
  std::string console_log;           // a file of the user's; empty: none
  bool echo_console = false;         // console output to stderr
  std::vector<std::string> command;  // for `ls` only

  [[nodiscard]] BootImageSpec image() const { return {kernel, initrd, added, memory_mib}; }
};

class VmHost {
 public:
  // Returns once the first vCPU runs. `signals` must outlive the VM. They are blocked already, before a
  // thread starts, and one that comes during the end makes wait() and the destructor wait no longer for peers
  // to take what the guest has sent.
  [[nodiscard]] static Result<std::unique_ptr<VmHost>> start(VmSpec spec, const client::SignalWatch& signals);
  VmHost(const VmHost&) = delete;
  VmHost& operator=(const VmHost&) = delete;
  ~VmHost();

  [[nodiscard]] std::string name() const { return directory_.name(); }
  [[nodiscard]] std::filesystem::path vsock_path() const { return directory_.path() / "vsock.sock"; }

  [[nodiscard]] int ready_fd() const { return ready_.fd(); }
  // True once the agent is up or has said what failed (failure()).
  [[nodiscard]] bool take_ready() { return ready_.take(); }
  [[nodiscard]] const std::string& failure() const { return ready_.failure(); }

  // Readable once the machine has ended.
  [[nodiscard]] int ended_fd() const { return ended_.get(); }
  void stop();
  // Waits for the end, and until what the guest has sent is delivered (`--linger`).
  [[nodiscard]] const MachineEnd& wait();

  [[nodiscard]] std::string console_tail(std::size_t lines) const { return console_.tail(lines); }
  [[nodiscard]] std::string console_crash(std::size_t lines) const { return console_.crash_or_tail(lines); }

 private:
  VmHost(VmSpec spec, RuntimeDir directory, client::ReadyListener ready, const client::SignalWatch& signals);
  void join();
  void abandon_drain();
  void run(std::promise<Status>& started);
  void deliver();
  Status build(std::unique_ptr<Machine>& machine, std::unique_ptr<virtio::Devices>& devices);
  void add_stats(nlohmann::json& stats, const Machine& machine) const;
  Status open_console_log();
  Status write_info();
  void write_outcome();

  const VmSpec spec_;
  const client::SignalWatch& signals_;
  RuntimeDir directory_;
  client::ReadyListener ready_;
  ConsoleLog console_;
  UniqueFd ended_;
  UniqueFd outcome_file_;  // see exit_status.h
  std::time_t started_at_ = 0;
  MachineEnd outcome_;
  UniqueFd left_;     // readable once the machine's thread is about to end
  std::mutex mutex_;  // guards what follows against its destruction
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<virtio::Devices> devices_;
  bool waits_for_peers_ = true;
  std::thread thread_;
};

}  // namespace glassbox::cli
