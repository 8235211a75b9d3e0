// The few kernel structures that the BPF programs look into, each with only the fields that are read.
//
// With CO-RE that is enough. preserve_access_index records each access by structure and field name, and
// libbpf finds the field's place in the BTF of the kernel that it loads into. So the layout here does not
// matter; names and types do. A generated vmlinux.h would need a build machine with BTF, and would hide which
// fields the programs depend on. Checked against Debian's 6.1 (guest, lab) and 6.18.
#ifndef GLASSBOX_BPF_KERNEL_TYPES_H
#define GLASSBOX_BPF_KERNEL_TYPES_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
  union {
    __be32 u6_addr32[4];
  } in6_u;
};

struct sock_common {
  __be32 skc_daddr;
  __be32 skc_rcv_saddr;
  __be16 skc_dport;
  __u16 skc_num;
  unsigned short skc_family;
  volatile unsigned char skc_state;
  struct in6_addr skc_v6_daddr;
  struct in6_addr skc_v6_rcv_saddr;
};

struct sock {
  struct sock_common __sk_common;
  __u16 sk_type;
  __u16 sk_protocol;
};

struct inet_sock {
  __be16 inet_sport;
};

struct socket {
  struct sock* sk;
};

struct inode {
  unsigned short i_mode;
};

struct file {
  void* private_data;
  struct inode* f_inode;
};

struct fdtable {
  unsigned int max_fds;
  struct file** fd;
};

struct files_struct {
  struct fdtable* fdt;
};

typedef struct {
  int counter;
} atomic_t;

struct signal_struct {
  atomic_t live;
};

struct thread_info {
  __u32 status;
};

struct task_struct {
  struct thread_info thread_info;
  int exit_code;
  int pid;
  int tgid;
  struct task_struct* real_parent;
  struct files_struct* files;
  struct signal_struct* signal;
};

/* The kernel's names for the registers at a system call; the userspace header has other names. */
struct pt_regs___kernel {
  unsigned long di;
  unsigned long si;
  unsigned long dx;
  unsigned long orig_ax;
};

struct irqaction {
  const char* name;
};

struct net_device {
  unsigned short type;
};

struct sk_buff {
  unsigned int len;
  unsigned int data_len;
  char cb[48];
  __be16 protocol;
  __u16 network_header;
  unsigned char* head;
  unsigned char* data;
  struct net_device* dev;
};

struct napi_gro_cb {
  void* frag0;
  unsigned int frag0_len;
};

#pragma clang attribute pop

#endif /* GLASSBOX_BPF_KERNEL_TYPES_H */
