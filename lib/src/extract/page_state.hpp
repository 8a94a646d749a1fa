// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/object.hpp>

#include "extract/media_url.hpp"

// What the network showed of one page: built from CDP events, without a browser in sight.
namespace jobruntime::extract {

/// One response that may be media.
struct Sighting {
    std::string url;
    std::string mime;
    std::string type;     ///< CDP's resource type: "Media", "Fetch", "XHR", "Document", …
    std::string referer;  ///< As the browser sent it.
    std::string frame;
    MediaKind kind = MediaKind::none;
    int status = 0;
    std::optional<std::int64_t> size;  ///< Of the whole file, not of the range.
};

/// The main document as it was last answered.
struct MainResponse {
    std::string url;
    std::string mime;
    std::string mitigated;  ///< The `cf-mitigated` header.
    int status = 0;
};

/// Feeds on the events of one page and its frames. Bounded; malformed events are ignored.
class PageState {
public:
    static constexpr std::size_t max_sightings = 512;
    static constexpr std::size_t max_frames = 64;

    struct Frame {
        std::string session;
        std::string url;
        std::string parent;
        bool operator==(const Frame&) const = default;
    };

    void start(std::string session, std::string main_frame);
    void on_event(std::string_view session, std::string_view method, const boost::json::object& params);

    bool dom_ready() const noexcept { return dom_ready_; }
    bool loaded() const noexcept { return loaded_; }
    bool crashed() const noexcept { return crashed_; }
    /// Rises with every new main document, so that settling starts anew.
    int documents() const noexcept { return documents_; }
    /// Rises with every response that is media by kind.
    std::size_t media_count() const noexcept { return sightings_.size(); }
    bool requested_main() const noexcept { return requested_main_; }
    const std::vector<Sighting>& sightings() const noexcept { return sightings_; }
    const std::optional<MainResponse>& main() const noexcept { return main_; }
    /// What was last asked for as the main document: after a redirect, where it led.
    const std::string& main_url() const noexcept { return main_url_; }
    const std::string& main_frame() const noexcept { return main_frame_; }
    const std::map<std::string, Frame>& frames() const noexcept { return frames_; }
    /// Rises when a request begins, is answered or ends: while it does, the page is not quiet.
    std::uint64_t activity() const noexcept { return activity_; }

private:
    void on_request(const boost::json::object& params);
    void on_response(const boost::json::object& params);
    void on_page(std::string_view session, std::string_view method, const boost::json::object& params);
    void add_frame(std::string_view id, Frame frame);

    std::string main_session_;
    std::string main_frame_;
    std::map<std::string, Frame> frames_;
    std::map<std::string, std::string> referers_;              // By request.
    std::pair<std::string, std::string> main_request_;         // The main document's, and its referer.
    std::vector<Sighting> sightings_;
    std::string main_url_;
    std::optional<MainResponse> main_;
    std::uint64_t activity_ = 0;
    int documents_ = 0;
    bool requested_main_ = false;
    bool dom_ready_ = false;
    bool loaded_ = false;
    bool crashed_ = false;
};

}  // namespace jobruntime::extract
