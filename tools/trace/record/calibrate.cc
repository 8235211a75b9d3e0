#include "tools/trace/record/calibrate.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/sdt.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "bpf/libbpf_log.h"
#include "bpf/links.h"
#include "gb_calibrate.skel.h"

namespace glassbox::trace {
namespace {

constexpr int kRounds = 9, kHitsPerRound = 300;

struct SkeletonDestroy {
  void operator()(gb_calibrate* skeleton) const { gb_calibrate__destroy(skeleton); }
};

std::int64_t thread_time_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// CPU time, not wall time: preemption is not a cost of the probe. Five arguments, as most probes have.
[[gnu::noinline]] std::int64_t fire_round() {
  const std::int64_t begin = thread_time_ns();
  for (std::uint64_t k = 0; k < kHitsPerRound; ++k)
    STAP_PROBE5(glassbox_trace, calibrate, k, k, k, k, k);
  return thread_time_ns() - begin;
}

std::int64_t median_round() {
  std::vector<std::int64_t> rounds;
  for (int k = 0; k < kRounds; ++k)
    rounds.push_back(fire_round());
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  return rounds[kRounds / 2];
}

}  // namespace

Result<ProbeCost> measure_probe_cost() {
  bpf::capture_libbpf_log();
  const std::int64_t off = median_round();
  const std::unique_ptr<gb_calibrate, SkeletonDestroy> skeleton(gb_calibrate__open());
  if (!skeleton) return fail("cannot open the calibration program: {}", bpf::take_libbpf_error(errno));
  if (gb_calibrate__load(skeleton.get()) != 0)
    return fail("the kernel refuses the calibration program: {}", bpf::take_libbpf_error(errno));
  const bpf::LinkPtr link(bpf_program__attach_usdt(skeleton->progs.calibrate_hit, ::getpid(),
                                                   "/proc/self/exe", "glassbox_trace", "calibrate", nullptr));
  if (!link) return fail("cannot attach to the calibration probe: {}", bpf::take_libbpf_error(errno));
  (void)fire_round();  // warm-up
  const std::int64_t on = median_round();
  return ProbeCost{std::max<std::int64_t>(0, on - off) / kHitsPerRound,
                   std::uint64_t{kRounds} * kHitsPerRound};
}

}  // namespace glassbox::trace
