// --add HOSTPATH[:GUESTPATH]: puts files and folders of the host into the guest's root, as one more cpio
// segment behind the initrd. The kernel unpacks segments in order, so an added file replaces one of the
// image.
//
//   HOSTPATH alone           appears as /NAME, NAME being its last component
//   HOSTPATH:/some/where     appears as /some/where
//   HOSTPATH:/some/where/    appears as /some/where/NAME
//
// Folders are added with their content, as tar would bring it: modes, numeric owners, symbolic and hard
// links, FIFOs and devices are kept; sockets are left out. HOSTPATH itself is followed if it is a link. A
// folder on the way to GUESTPATH that is a link in the image (/bin of a merged /usr) is followed, not
// replaced; in a compressed image those links are not known.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/result.h"
#include "vmm/image/image_check.h"

namespace glassbox {

struct AddedPath {
  std::string host;
  std::string guest;  // absolute
};

[[nodiscard]] Result<AddedPath> parse_added_path(std::string_view argument);

// The segment; empty if there are no paths. Its size is a multiple of 4. `image` is what it comes behind.
[[nodiscard]] Result<std::vector<char>> pack_added_files(std::span<const AddedPath> paths,
                                                         const ImageContents& image = {});

}  // namespace glassbox
