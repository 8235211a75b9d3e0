// --add HOSTPATH[:GUESTPATH]: puts files and folders of the host into the guest's root, as one more cpio
// segment behind the initrd. The kernel unpacks segments in order, so an added file replaces one of the
// image.
//
//   HOSTPATH alone           appears as /NAME, NAME being its last component
//   HOSTPATH:/some/where     appears as /some/where
//   HOSTPATH:/some/where/    appears as /some/where/NAME
//
// Folders are added with their content; symbolic links stay links, but HOSTPATH itself is followed.
// Modes are kept, owner is root. Devices, sockets and FIFOs are an error.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/result.h"

namespace glassbox {

struct AddedPath {
  std::string host;
  std::string guest;  // absolute
};

[[nodiscard]] Result<AddedPath> parse_added_path(std::string_view argument);

// The segment; empty if there are no paths. Its size is a multiple of 4.
[[nodiscard]] Result<std::vector<char>> pack_added_files(std::span<const AddedPath> paths);

// The whole initrd: the file's bytes, padded, then the segment.
[[nodiscard]] Result<std::vector<char>> load_initrd(const std::string& initrd_path,
                                                    std::span<const AddedPath> paths);

}  // namespace glassbox
