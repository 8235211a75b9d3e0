#include "tests/unit/tools/bench/report/samples.h"

#include <random>

namespace glassbox::bench {

Rounds moody(std::uint64_t median_ns, std::uint32_t rounds, std::uint64_t seed, std::uint64_t mood_seed) {
  std::mt19937_64 random(seed);
  std::mt19937_64 moods(mood_seed);
  Rounds all;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    const double mood = 1 + static_cast<double>(moods() % 1000) / 1000;
    auto& samples = all.emplace_back();
    for (int i = 0; i < 100; ++i) {
      const double noise = 1 + static_cast<double>(random() % 200) / 1000;
      samples.push_back(static_cast<std::uint64_t>(static_cast<double>(median_ns) * mood * noise));
    }
  }
  return all;
}

Row& add(CompareResult& result, const std::string& name, const Rounds& rounds, double exits) {
  Row& row = result.rows.emplace_back();
  row.label = name;
  row.entry = find_stack(name);
  Cell& cell = row.cells["crr"];
  cell.rounds = rounds;
  cell.process = {1e6, 100, exits, exits / 2};
  cell.process_cycles = 100;
  return row;
}

CompareResult sample() {
  CompareResult result;
  result.spec.stacks = {"glassbox", "qemu-slirp", "qemu-passt"};
  result.spec.workloads = {"crr"};
  result.machine = {{"cpu", "x"}, {"kernel", "y"}};
  result.rounds_done = 8;
  result.rows.reserve(8);
  add(result, "glassbox", moody(1000, 8, 1, 5), 400);
  add(result, "qemu-slirp", moody(2000, 8, 2, 5), 1000);
  add(result, "qemu-passt", moody(3000, 8, 3, 5), 900);
  return result;
}

}  // namespace glassbox::bench
