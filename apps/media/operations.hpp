// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <boost/json/object.hpp>

#include "protocol.hpp"

namespace jobruntime::helper {

/// Does what the request asks and answers the members of the result line.
///   probe      what is in the file: container, seconds, bytes, width, height, streams
///   verify     is it a whole, playable video: read to the last packet, one key frame decoded
///   thumbnail  a JPEG of the picture a tenth into the video
///   finish     verify, an MP4 at `output` unless the file is fine as it is (`remuxed`: false) or its
///              codecs do not fit, the result verified again, thumbnail, sync, SHA-256; of a stream's
///              pieces (`runs`, `audio`) one MP4, or one Matroska file where the codecs do not fit
/// After an error nothing that it wrote is left.
Result<boost::json::object> perform(const Request& request);

}  // namespace jobruntime::helper
