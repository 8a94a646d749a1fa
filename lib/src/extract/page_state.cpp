// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/page_state.hpp"

#include <algorithm>
#include <charconv>

#include "extract/json_access.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

constexpr std::size_t max_requests = 4096;
/// A body of unknown type that a media element fetched counts as media from this size on.
constexpr std::int64_t big_body = 512 * 1024;

std::string_view header(const json::object* headers, std::string_view name) {
    if (headers == nullptr) return {};
    for (const auto& [key, value] : *headers) {
        if (lower({key.data(), key.size()}) == name) return text_of(value);
    }
    return {};
}

std::optional<std::int64_t> to_number(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
    return value;
}

/// RFC 9110, 14.4: "bytes 0-99/1234" names the whole; a plain 200 names it in Content-Length.
std::optional<std::int64_t> whole_size(int status, const json::object* headers) {
    if (status == 206) {
        const auto range = header(headers, "content-range");
        const auto slash = range.rfind('/');
        return slash == std::string_view::npos ? std::nullopt : to_number(range.substr(slash + 1));
    }
    return header(headers, "content-encoding").empty() ? to_number(header(headers, "content-length"))
                                                       : std::nullopt;
}

}  // namespace

void PageState::start(std::string session, std::string main_frame) {
    *this = PageState{};
    main_session_ = std::move(session);
    main_frame_ = std::move(main_frame);
    frames_[main_frame_] = Frame{main_session_, "", ""};
}

void PageState::on_event(std::string_view session, std::string_view method, const json::object& params) {
    if (method == "Network.requestWillBeSent") return on_request(params);
    if (method == "Network.responseReceived") return on_response(params);
    if (method == "Network.loadingFinished" || method == "Network.loadingFailed") {
        ++activity_;
        return;
    }
    on_page(session, method, params);
}

void PageState::on_request(const json::object& params) {
    const auto* request = object_at(params, "request");
    if (request == nullptr) return;
    const std::string id(text_at(params, "requestId"));
    const auto url = text_at(*request, "url");
    const bool main = text_at(params, "type") == "Document" && text_at(params, "frameId") == main_frame_ &&
                      text_at(params, "loaderId") == id;
    ++activity_;
    if (main) {
        requested_main_ = true;
        main_url_ = std::string(url.substr(0, max_url));
    }
    if (!is_http_url(url)) return;
    std::string referer(header(object_at(*request, "headers"), "referer"));
    // Only the last one's answer counts, and that however much the page has asked for before.
    if (main)
        main_request_ = {id, std::move(referer)};
    else if (referers_.size() < max_requests && url.size() <= max_url)
        referers_[id] = std::move(referer);
}

void PageState::on_response(const json::object& params) {
    const auto* response = object_at(params, "response");
    if (response == nullptr) return;
    const std::string id(text_at(params, "requestId"));
    const auto url = text_at(*response, "url");
    const auto* headers = object_at(*response, "headers");
    const bool main = !id.empty() && id == main_request_.first;
    Sighting seen;
    seen.mime = std::string(text_at(*response, "mimeType").substr(0, 128));
    seen.status = static_cast<int>(std::clamp(number_at(*response, "status"), 0.0, 999.0));
    ++activity_;
    if (main) {
        main_ = MainResponse{std::string(url.substr(0, max_url)), seen.mime,
                             lower(header(headers, "cf-mitigated").substr(0, 64)), seen.status};
    }
    if (!is_http_url(url) || url.size() > max_url || (seen.status != 200 && seen.status != 206)) return;
    seen.type = std::string(text_at(params, "type").substr(0, 32));
    seen.size = whole_size(seen.status, headers);
    seen.kind = classify_sighting(url, seen.mime);
    if (seen.kind == MediaKind::none && seen.type == "Media" && seen.size.value_or(0) >= big_body &&
        seen.mime.find("octet-stream") != std::string::npos) {
        seen.kind = MediaKind::direct;
    }
    if (seen.kind == MediaKind::none) return;
    // A stream's endless segments are of no use, and a media element asks for one file in ranges.
    for (auto& old : sightings_) {
        if (old.url != without_fragment(url)) continue;
        if (!old.size) old.size = seen.size;
        return;
    }
    if (sightings_.size() >= max_sightings) return;
    seen.url = std::string(without_fragment(url));
    seen.frame = std::string(text_at(params, "frameId").substr(0, 64));
    if (main)
        seen.referer = main_request_.second;
    else if (const auto known = referers_.find(id); known != referers_.end())
        seen.referer = known->second;
    sightings_.push_back(std::move(seen));
}

void PageState::on_page(std::string_view session, std::string_view method, const json::object& params) {
    const bool main_session = session == main_session_;
    if (method == "Page.frameAttached") {
        add_frame(text_at(params, "frameId"),
                  {std::string(session), "", std::string(text_at(params, "parentFrameId"))});
    } else if (method == "Page.frameNavigated") {
        const auto* frame = object_at(params, "frame");
        if (frame == nullptr) return;
        const auto id = text_at(*frame, "id");
        add_frame(id, {std::string(session), std::string(text_at(*frame, "url").substr(0, max_url)),
                       std::string(text_at(*frame, "parentId"))});
        if (id == main_frame_ && text_at(*frame, "url") != "about:blank") {
            ++documents_;
            dom_ready_ = loaded_ = false;
        }
    } else if (method == "Page.frameDetached") {
        // "swap" means that the frame goes on in another process, and its new session has told us so.
        const auto found = frames_.find(std::string(text_at(params, "frameId")));
        if (found != frames_.end() && found->second.session == session &&
            text_at(params, "reason") != "swap" && found->first != main_frame_) {
            frames_.erase(found);
        }
    } else if (method == "Page.domContentEventFired" && main_session && documents_ > 0) {
        dom_ready_ = true;
    } else if (method == "Page.loadEventFired" && main_session && documents_ > 0) {
        dom_ready_ = loaded_ = true;
    } else if (method == "Target.attachedToTarget") {
        const auto* info = object_at(params, "targetInfo");
        if (info == nullptr || text_at(*info, "type") != "iframe") return;
        // Chromium gives a frame's target the frame's own id.
        add_frame(text_at(*info, "targetId"),
                  {std::string(text_at(params, "sessionId")),
                   std::string(text_at(*info, "url").substr(0, max_url)), main_frame_});
    } else if (method == "Target.detachedFromTarget") {
        const auto gone = text_at(params, "sessionId");
        std::erase_if(frames_, [&](const auto& entry) {
            return entry.second.session == gone && entry.first != main_frame_;
        });
    } else if (method == "Inspector.targetCrashed" && main_session) {
        crashed_ = true;
    }
}

void PageState::add_frame(std::string_view id, Frame frame) {
    if (id.empty() || id.size() > 64) return;
    const std::string key(id);
    if (frames_.size() >= max_frames && !frames_.contains(key)) return;
    frames_[key] = std::move(frame);
}

}  // namespace jobruntime::extract
