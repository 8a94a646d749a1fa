// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <jobruntime/extractor.hpp>
#include <jobruntime/result.hpp>

// What the step "extract" of media.save keeps for the attempts after it.
namespace jobruntime::host {

/// What may be stored of what was found: all but its secrets. Cookies are those of the browser's profile, and what
/// authorises is one by its name; they serve the attempt that got them.
boost::json::object without_secrets(MediaInfo info);

struct StoredExtraction {
    MediaInfo info;
    bool had_secrets = false;  ///< Its media were asked for with some, which are gone.
};
/// Errc::internal when it is none.
Result<StoredExtraction> stored_extraction(const boost::json::value& stored);

}  // namespace jobruntime::host
