// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <jobruntime/extractor.hpp>

#include "extract/page_rules.hpp"
#include "extract/probe.hpp"

// What the data in a rendered page's scripts says of its video. Pure functions over untrusted text.
namespace jobruntime::extract {

/// What a rule makes of it: a post, or why there is none. Both empty when no script has what the rule expects.
struct ScriptAnswer {
    std::optional<MediaInfo> info;
    std::optional<Error> told;
};

/// The ids of the scripts that a rule reads.
std::vector<std::string> scripts_of(const PageRule& rule);

/// Asks the ways of the rule that read a script, in their order; `values` fill the templates of its headers.
ScriptAnswer read_scripts(const PageRule& rule, const Probe& page, int nth,
                          const std::map<std::string, std::string>& values);

/// Addresses of media in JSON that no rule knows, in the order of the document. Empty unless all of them belong to
/// one and the same video: a list of further ones says nothing of the page's own.
std::vector<std::string> media_in_scripts(const Probe& page);

}  // namespace jobruntime::extract
