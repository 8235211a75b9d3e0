// The only place that includes <linux/kvm.h>.
//
// The kernel's __DECLARE_FLEX_ARRAY wraps a flexible array in a struct with an empty member. An empty struct
// has size 1 in C++ and 0 in C, so that with it sizeof(kvm_cpuid2) is 12 instead of 8, the ioctl number that
// encodes this size is wrong, and KVM answers EINVAL or ENOTTY. It is redefined here before the header is
// read, and the numbers of the ioctls concerned are checked against those of a C compiler.
#pragma once

#include <linux/stddef.h>
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) TYPE NAME[]

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <linux/kvm.h>
#pragma GCC diagnostic pop

static_assert(sizeof(kvm_cpuid2) == 8);
static_assert(sizeof(kvm_msrs) == 8);
static_assert(sizeof(kvm_irq_routing) == 8);
static_assert(sizeof(kvm_xsave) == 4096);
static_assert(KVM_GET_SUPPORTED_CPUID == 0xC008AE05);
static_assert(KVM_SET_CPUID2 == 0x4008AE90);
static_assert(KVM_SET_MSRS == 0x4008AE89);
static_assert(KVM_GET_MSRS == 0xC008AE88);
static_assert(KVM_SET_GSI_ROUTING == 0x4008AE6A);
