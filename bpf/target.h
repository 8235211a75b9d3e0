/* The number of the traced process that a tracer inside a pid namespace gives to bpf/host.bpf.c. */
#ifndef GLASSBOX_BPF_TARGET_H
#define GLASSBOX_BPF_TARGET_H

#define GB_UNKNOWN_TGID 0xffffffffu

#endif
