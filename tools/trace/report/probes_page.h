// The lists of probes and kernel events (bpf/probes.def, bpf/events.def) for people.
#pragma once

#include <string>

namespace glassbox::trace {

// `glassbox-trace probes`: name, kind, when it fires; arguments with type and meaning below.
[[nodiscard]] std::string probes_text();
// The documentation page bpf/PROBES.md, which a test holds to this.
[[nodiscard]] std::string probes_markdown();

}  // namespace glassbox::trace
