#include "tools/bench/measure/boot_marks.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/boot_stages.h"
#include "gb_boot_marks.skel.h"

namespace glassbox::bench {
namespace {

int be_quiet(libbpf_print_level /*level*/, const char* /*format*/, va_list /*arguments*/) {
  return 0;
}

struct Destroy {
  void operator()(gb_boot_marks* skeleton) const { gb_boot_marks__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<gb_boot_marks, Destroy>;

class Marks final : public BootMarks {
 public:
  explicit Marks(Skeleton skeleton) : skeleton_(std::move(skeleton)) {}

  [[nodiscard]] std::map<std::uint32_t, std::uint64_t> of(pid_t pid) const override {
    std::map<std::uint32_t, std::uint64_t> found;
    const int map = bpf_map__fd(skeleton_->maps.marks);
    for (std::uint32_t stage = kFirstEntry; stage <= static_cast<std::uint32_t>(BootStage::kEnded); ++stage) {
      const std::uint64_t key = static_cast<std::uint64_t>(pid) << 32 | stage;
      std::uint64_t ns = 0;
      if (bpf_map_lookup_elem(map, &key, &ns) == 0) found[stage] = ns;
    }
    return found;
  }

 private:
  Skeleton skeleton_;
};

}  // namespace

Result<std::unique_ptr<BootMarks>> BootMarks::attach(const std::string& monitor) {
  libbpf_set_print(be_quiet);
  Skeleton skeleton(gb_boot_marks__open_and_load());
  if (!skeleton) return fail_errno(errno, "boot marks cannot be taken (needs root)");
  skeleton->links.first_entry = bpf_program__attach(skeleton->progs.first_entry);
  if (skeleton->links.first_entry == nullptr) return fail_errno(errno, "boot marks: no tracepoint kvm_entry");
  skeleton->links.boot_stage = bpf_program__attach_usdt(skeleton->progs.boot_stage, -1, monitor.c_str(),
                                                        "glassbox", "boot_mark", nullptr);
  if (skeleton->links.boot_stage == nullptr) return fail_errno(errno, "boot marks: {} has no probe", monitor);
  return std::make_unique<Marks>(std::move(skeleton));
}

}  // namespace glassbox::bench
