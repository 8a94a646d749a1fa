// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include <jobruntime/extractor.hpp>

#include "extract/page_state.hpp"
#include "extract/probe.hpp"

// From what was seen of a page to a MediaInfo. Pure; tested as a table.
namespace jobruntime::extract {

/// What is known of a page at one moment.
struct Observation {
    std::string requested_url;
    std::vector<Probe> probes;  ///< The main frame's first; empty when it never answered.
    std::vector<Sighting> sightings;
    std::string user_agent;
};

struct Findings {
    MediaInfo info;  ///< Sources ranked, best first; may be empty.
    bool has_direct = false;
    /// A file of the page's main <video>, or that it calls its video, that a <video> understood or that the network
    /// delivered *and* the page names: no reason to wait longer.
    bool certain = false;
    /// There is nothing but what previews play, the muted loops of a page, or what no <video> of it plays, or nothing
    /// that its player may be fed from: its video may be yet to come.
    bool provisional = false;
    bool script_stream = false;  ///< A <video> plays what a script feeds it, and no source was seen.
    bool encrypted = false;      ///< A <video> uses content protection.
};

/// Ranked by how sure it is that the page means this video, then as `rank` has it. What a preview alone plays is left
/// out beside anything else.
Findings find_media(const Observation& seen);

/// Whether JSON-LD means a video by it.
bool is_video_object(const boost::json::object& object);

/// Best first: one file before playlists; more pixels; higher bit rate; MP4; larger; better evidence.
void rank(std::vector<MediaSource>& sources);

}  // namespace jobruntime::extract
