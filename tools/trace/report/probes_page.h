// The lists of probes and kernel events (bpf/probes.def, bpf/events.def) as pages to read.
#pragma once

#include <string>

namespace glassbox::trace {

// `glassbox-trace probes`: name, kind and when it fires; below, each argument with its type and meaning.
[[nodiscard]] std::string probes_text();
// The documentation page bpf/PROBES.md, which must equal this: a test compares them.
[[nodiscard]] std::string probes_markdown();

}  // namespace glassbox::trace
