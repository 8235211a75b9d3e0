#include "tools/bench/measure/machine_description.h"

#include <fmt/chrono.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>

#include "tools/trace/record/machine.h"

namespace glassbox::bench {

nlohmann::json describe_machine() {
  nlohmann::json machine = trace::machine_info(::getpid());
  std::array<double, 3> load{};
  if (::getloadavg(load.data(), 3) == 3) machine["load_average"] = load;
  machine["processors"] = ::sysconf(_SC_NPROCESSORS_ONLN);
  machine["date"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  return machine;
}

}  // namespace glassbox::bench
