#include "tests/delays/spinner.h"

#include <sched.h>

#include <filesystem>
#include <fstream>

namespace glassbox::delays {
namespace {

namespace fs = std::filesystem;

fs::path tasks_of(pid_t pid) {
  return "/proc/" + std::to_string(pid) + "/task";
}

}  // namespace

Status pin_thread(pid_t tid, std::uint64_t cpu_mask) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (unsigned cpu = 0; cpu < 64; ++cpu)
    if ((cpu_mask >> cpu & 1) != 0) CPU_SET(cpu, &set);
  if (::sched_setaffinity(tid, sizeof(set), &set) != 0)
    return fail_errno(errno, "cannot pin thread {} to CPUs {:#x}", tid, cpu_mask);
  return {};
}

Status pin(pid_t pid, std::uint64_t cpu_mask) {
  for (const auto& task : fs::directory_iterator(tasks_of(pid)))
    GB_TRY(pin_thread(std::stoi(task.path().filename()), cpu_mask));
  return {};
}

Spinner::Spinner(unsigned cpu) : thread_([this, cpu] { run(cpu); }) {}

Spinner::~Spinner() {
  {
    const std::scoped_lock lock(mutex_);
    end_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Spinner::spin_for(std::chrono::microseconds time) {
  {
    const std::scoped_lock lock(mutex_);
    time_ = time;
    asked_ = true;
    spins_ = false;
  }
  changed_.notify_one();
  spins_.wait(false);
}

void Spinner::run(unsigned cpu) {
  (void)pin_thread(0, std::uint64_t{1} << cpu);
  const sched_param priority{.sched_priority = 1};
  ::sched_setscheduler(0, SCHED_FIFO, &priority);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return asked_ || end_; });
    if (end_) return;
    asked_ = false;
    const auto until = std::chrono::steady_clock::now() + time_;
    spins_ = true;
    spins_.notify_one();
    while (std::chrono::steady_clock::now() < until) {
    }
  }
}

std::int64_t run_delay_ns(pid_t pid, pid_t tid) {
  std::ifstream in(tasks_of(pid) / std::to_string(tid) / "schedstat");
  std::int64_t on_cpu_ns = 0, waiting_ns = 0;
  in >> on_cpu_ns >> waiting_ns;
  return waiting_ns;
}

bool is_runnable(pid_t pid, pid_t tid) {
  std::ifstream in(tasks_of(pid) / std::to_string(tid) / "stat");
  std::string line;
  std::getline(in, line);
  const auto name_ends = line.rfind(") ");  // the name may contain ") " itself
  return name_ends != std::string::npos && line.compare(name_ends + 2, 1, "R") == 0;
}

pid_t thread_named(pid_t pid, const std::string& name) {
  for (const auto& task : fs::directory_iterator(tasks_of(pid))) {
    std::ifstream in(task.path() / "comm");
    std::string comm;
    std::getline(in, comm);
    if (comm == name) return std::stoi(task.path().filename());
  }
  return 0;
}

}  // namespace glassbox::delays
