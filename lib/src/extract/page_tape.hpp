// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include <jobruntime/extract.hpp>

#include "extract/cdp.hpp"
#include "extract/recording.hpp"

namespace jobruntime::extract {

/// The network of one page on record. Taking down, it listens: bodies of all but media are asked for once
/// they have come. Telling, it stands in the network's place: every request is held by Chromium (CDP's domain
/// Fetch) and answered from the recording, or fails. Of media only the beginning is kept, which is fetched
/// apart at the end.
class PageTape {
public:
    /// Sends a request to a session; answers its id.
    using Send = std::function<std::int64_t(std::string_view session, std::string_view method,
                                            boost::json::object params)>;

    PageTape(Recording& recording, Send send) : recording_(recording.impl()), send_(std::move(send)) {}

    bool replays() const noexcept { return recording_.replays(); }
    /// Before anything loads in that session.
    void set_up(const std::string& session);
    void on_event(const cdp::Message& event);
    /// Whether the answer was one that the tape had asked for.
    bool take_answer(const cdp::Message& answer);
    /// Bodies that are still to come.
    bool waits() const noexcept { return !bodies_.empty(); }
    /// Fetches the beginnings of the media that was seen since the last time. At most a few, each in little time.
    void take_media(const std::vector<net::Network>& allowed, Deadline deadline, const std::stop_token& stop);
    /// What sites have set; noted as secrets.
    void note_cookies(const boost::json::object& answer);
    /// The first page or frame that the recording has no answer for; empty when there was none.
    const std::string& missing() const noexcept { return missing_; }

private:
    struct Seen {
        std::string method, url, type;
        net::Headers asked;
        net::Response response;
    };
    void on_request(const std::string& key, const boost::json::object& params);
    void on_response(const std::string& key, const boost::json::object& params);
    void tell(const cdp::Message& paused);

    Recording::Impl& recording_;
    const Send send_;
    std::map<std::string, Seen> seen_;            ///< By session and request.
    std::map<std::int64_t, std::string> bodies_;  ///< Asked for: whose.
    std::vector<Seen> media_;
    std::set<std::string> media_urls_;
    std::string missing_;
};

}  // namespace jobruntime::extract
