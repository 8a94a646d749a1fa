// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include "open.hpp"

namespace jobruntime::helper {

/// Whether packets of a transport stream's program are missing between two parts of a file, by the counters that they
/// carry (ISO/IEC 13818-1, 2.4.3.3); true as well where none is found. One time in sixteen a counter agrees by chance.
bool packets_lost(const std::string& path, Slice before, Slice after, int pid);

/// Whether a part of the file ends within a packet of the transport stream, or of a stream in it (PES, 2.4.3.6) that says
/// how long it is: sound does, the picture seldom.
bool ends_within_packet(const std::string& path, Slice part);

}  // namespace jobruntime::helper
