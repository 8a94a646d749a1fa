// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string_view>

#include <jobruntime/extractor.hpp>

#include "extract/probe.hpp"

// What a page says of its video besides where it is. Pure.
namespace jobruntime::extract {

/// ISO 8601 duration ("PT1M30.5S") or plain seconds; 0 when it is neither.
double parse_duration(std::string_view text);

/// Title, author, date and picture from the page's metas, and what nobody else has said of the duration.
void describe_page(const Probe& page, MediaInfo& info);

}  // namespace jobruntime::extract
