#include "vmm/cli/stop_signals.h"

#include <pthread.h>

namespace glassbox::cli {
namespace {

// Ends the waiting thread without counting as a stop; nobody else sends it to a thread of ours.
const int kFinish = SIGRTMIN + 1;

}  // namespace

StopSignals::StopSignals() {
  ::sigemptyset(&signals_);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, kFinish})
    ::sigaddset(&signals_, number);
  ::pthread_sigmask(SIG_BLOCK, &signals_, &previous_);
}

StopSignals::~StopSignals() {
  finish();
  ::pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
}

void StopSignals::on_signal(std::function<void()> action) {
  thread_ = std::thread([this, action = std::move(action)] {
    int number = 0;
    while (::sigwait(&signals_, &number) != 0) {
    }
    if (number == kFinish) return;
    caught_ = number;
    action();
  });
}

void StopSignals::finish() {
  if (!thread_.joinable()) return;
  ::pthread_kill(thread_.native_handle(), kFinish);
  thread_.join();
}

}  // namespace glassbox::cli
