// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jobruntime::extract {

/// The JavaScript that looks at one frame, as an expression of type `function(options)`. It runs
/// in an isolated world, so that the page's own scripts cannot change what its built-ins do,
/// changes nothing but (with {play:true}) starting muted playback, and answers bounded JSON text. Of scripts it
/// hands over those whose ids are in {scripts:[…]} and, with {json:true}, all that hold JSON.
std::string_view probe_script() noexcept;

/// Longest answer of the probe that is read.
inline constexpr std::size_t max_probe_text = std::size_t{8} << 20;

struct ProbedSource {
    std::string url;
    std::string type;
    int height = 0;  ///< From `size`, `res` or `label`; 0 = none.
};

/// One <video>.
struct ProbedVideo {
    std::string src;  ///< What plays now, absolute; may be blob: or empty.
    std::string poster;
    int width = 0;  ///< Of the picture, once known.
    int height = 0;
    double duration = 0;  ///< Seconds; 0 = unknown or endless.
    int ready = 0;        ///< HTMLMediaElement.readyState; from 1 on the file was understood.
    bool encrypted = false;
    std::vector<ProbedSource> sources;
    bool controls = false;
    bool muted = false;  ///< By the page, not by us.
    bool loop = false;
    bool autoplay = false;
    double area = 0;  ///< Of the page, in CSS pixels squared; 0 = unknown, or not shown.
};

/// What one frame showed.
struct Probe {
    std::string url;
    std::string title;
    std::vector<ProbedVideo> videos;
    std::vector<std::pair<std::string, std::string>> metas;  ///< og:*, twitter:*, author…; names lower case.
    std::vector<std::string> json_ld;
    std::vector<std::pair<std::string, std::string>> scripts;  ///< JSON by id, main frame only.
    std::string text;  ///< Beginning of the visible text, main frame only.
    bool password_field = false;
    bool challenge_widget = false;

    /// The first meta of that name, or empty.
    std::string_view meta(std::string_view name) const;
};

/// Reads the probe's answer; nothing when it is not one.
std::optional<Probe> parse_probe(std::string_view text);

}  // namespace jobruntime::extract
