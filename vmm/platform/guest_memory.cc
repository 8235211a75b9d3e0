#include "vmm/platform/guest_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace glassbox {
namespace {

constexpr std::uint64_t kHugePage = 2 << 20;

// Anonymous memory aligned to a huge page: a guest that touches its memory for the first time then faults
// once for 2 MiB and not 512 times. Nothing is reserved; pages come with use.
Result<std::byte*> map_aligned(std::uint64_t size) {
  const std::uint64_t padded = size + kHugePage;
  void* raw =
      ::mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return fail_errno(errno, "cannot map {} MiB of guest memory", size >> 20);
  auto* start = static_cast<std::byte*>(raw);
  const std::uint64_t misaligned = reinterpret_cast<std::uintptr_t>(start) % kHugePage;
  const std::uint64_t head = misaligned == 0 ? 0 : kHugePage - misaligned;
  if (head != 0) ::munmap(start, head);
  ::munmap(start + head + size, padded - head - size);
  start += head;
  ::madvise(start, size, MADV_HUGEPAGE);  // a kernel without huge pages refuses; small ones do
  ::madvise(start, size, MADV_DONTDUMP);
  return start;
}

}  // namespace

Result<GuestMemory> GuestMemory::create(std::uint64_t size_bytes) {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t physical = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * page;
  if (size_bytes == 0 || size_bytes % page != 0) {
    return fail("guest memory of {} bytes is not a whole number of pages", size_bytes);
  }
  if (size_bytes > physical) {
    return fail("guest memory of {} MiB is more than the {} MiB of this machine", size_bytes >> 20,
                physical >> 20);
  }
  GuestMemory memory;
  const std::uint64_t low = std::min<std::uint64_t>(size_bytes, kHoleStart);
  GB_ASSIGN(std::byte * low_host, map_aligned(low));
  memory.regions_.push_back(Region{0, low, low_host});
  if (size_bytes > low) {
    GB_ASSIGN(std::byte * high_host, map_aligned(size_bytes - low));
    memory.regions_.push_back(Region{kHoleEnd, size_bytes - low, high_host});
  }
  return memory;
}

GuestMemory::~GuestMemory() {
  for (const Region& region : regions_)
    ::munmap(region.host, region.size);
}

}  // namespace glassbox
