// Backend of bpf/probes.h for the build that measures what the probes cost: none.
#pragma once

#define GB_EMIT(name, ...)
