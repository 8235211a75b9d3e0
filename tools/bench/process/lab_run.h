// A benchmark that needs a guest where KVM will not do: the same command inside the lab, with its result
// files brought out again.
//
// The lab shares the checkout and the directories of GLASSBOX_LAB_SHARES; what is written elsewhere in it is
// gone with it. A file that the user wants elsewhere is therefore written beside our programs first and moved
// when the run is over.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/report/output.h"
#include "vmm/base/result.h"

namespace glassbox::bench {

// Whether a file in `path`'s directory outlives the lab. `shared` are absolute directories.
[[nodiscard]] bool survives_lab(const std::filesystem::path& path,
                                const std::vector<std::filesystem::path>& shared);

// Returns the exit status of the command in the lab, or why it cannot be run there. May not return at all.
[[nodiscard]] Result<int> run_in_lab_with_files(int argc, char** argv, std::string_view reason,
                                                const std::vector<OutputFile>& outputs);

}  // namespace glassbox::bench
