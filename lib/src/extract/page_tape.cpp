// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/page_tape.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include <boost/json.hpp>

#include "extract/json_access.hpp"
#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

constexpr std::size_t max_seen = 4096;
constexpr std::size_t max_media = 8;
/// The index of most files, and enough of the picture for a <video> to know its size.
constexpr std::size_t media_head = 512 * 1024;
constexpr std::chrono::milliseconds media_time{10'000};
constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string to_base64(std::string_view bytes) {
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const auto left = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t group = 0;
        for (std::size_t n = 0; n < 3; ++n)
            group = group << 8 | (n < left ? static_cast<unsigned char>(bytes[i + n]) : 0u);
        for (std::size_t n = 0; n < 4; ++n) text += n <= left ? alphabet[group >> (18 - 6 * n) & 63] : '=';
    }
    return text;
}

std::string from_base64(std::string_view text) {
    std::string bytes;
    std::uint32_t group = 0;
    int bits = 0;
    for (const char c : text) {
        const auto value = alphabet.find(c);
        if (value == std::string_view::npos) continue;
        group = group << 6 | static_cast<std::uint32_t>(value);
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        bytes += static_cast<char>(group >> bits & 255);
    }
    return bytes;
}

net::Headers headers_of(const json::object* object) {
    net::Headers headers;
    if (object == nullptr) return headers;
    for (const auto& header : *object) headers.emplace_back(lower(header.key()), text_of(header.value()));
    return headers;
}

std::optional<std::size_t> number(std::string_view text) {
    std::size_t value = 0;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
    return wrong == std::errc{} && end != text.data() ? std::optional(value) : std::nullopt;
}

/// "bytes=100-": where it begins.
std::optional<std::size_t> range_start(const net::Headers& headers) {
    for (const auto& [name, value] : headers)
        if (name == "range" && value.starts_with("bytes=")) return number(std::string_view(value).substr(6));
    return std::nullopt;
}

bool is_media(const std::string& type, const net::Response& response) {
    return type == "Media" || response.header("content-type").value_or("").starts_with("video/");
}

}  // namespace

void PageTape::set_up(const std::string& session) {
    if (!replays()) return;
    json::array all;
    all.push_back(json::object{{"urlPattern", "*"}});
    send_(session, "Fetch.enable", {{"patterns", std::move(all)}});
}

void PageTape::on_event(const cdp::Message& event) {
    if (replays()) {
        if (event.method == "Fetch.requestPaused") tell(event);
        return;
    }
    const auto key = event.session + " " + std::string(text_at(event.params, "requestId"));
    if (event.method == "Network.requestWillBeSent") on_request(key, event.params);
    if (event.method == "Network.responseReceived") on_response(key, event.params);
    if (event.method != "Network.loadingFinished") return;
    const auto found = seen_.find(key);
    if (found == seen_.end() || found->second.response.status == 0 ||
        is_media(found->second.type, found->second.response))
        return;
    bodies_[send_(event.session, "Network.getResponseBody",
                  {{"requestId", text_at(event.params, "requestId")}})] = key;
}

void PageTape::on_request(const std::string& key, const json::object& params) {
    const auto* request = object_at(params, "request");
    if (request == nullptr) return;
    if (const auto* redirect = object_at(params, "redirectResponse")) {
        if (const auto before = seen_.find(key); before != seen_.end()) {
            net::Response response{.status = whole_at(*redirect, "status"),
                                   .headers = headers_of(object_at(*redirect, "headers")),
                                   .body = {},
                                   .final_url = before->second.url};
            recording_.add(
                {"browser", before->second.method, before->second.url, std::nullopt, std::move(response)});
        }
    }
    const std::string url(text_at(*request, "url"));
    if (seen_.size() >= max_seen || !is_http_url(url)) return;
    seen_[key] = {std::string(text_at(*request, "method")),
                  std::string(without_fragment(url)),
                  std::string(text_at(params, "type")),
                  headers_of(object_at(*request, "headers")),
                  {}};
    recording_.note_secrets_of(net::FetchRequest{.url = url, .headers = seen_[key].asked});
}

void PageTape::on_response(const std::string& key, const json::object& params) {
    const auto* response = object_at(params, "response");
    const auto found = seen_.find(key);
    if (response == nullptr || found == seen_.end()) return;
    auto& seen = found->second;
    seen.response = {.status = whole_at(*response, "status"),
                     .headers = headers_of(object_at(*response, "headers")),
                     .body = {},
                     .final_url = seen.url};
    seen.type = text_at(params, "type");
    if (is_media(seen.type, seen.response) && media_.size() < max_media &&
        media_urls_.insert(seen.url).second)
        media_.push_back(seen);
}

bool PageTape::take_answer(const cdp::Message& answer) {
    const auto asked = bodies_.find(answer.id);
    if (asked == bodies_.end()) return false;
    const auto found = seen_.find(asked->second);
    bodies_.erase(asked);
    if (found == seen_.end()) return true;
    auto seen = std::move(found->second);
    seen_.erase(found);
    const auto body = text_at(answer.params, "body");
    seen.response.body = flag_at(answer.params, "base64Encoded") ? from_base64(body) : std::string(body);
    recording_.add({"browser", seen.method, seen.url, std::nullopt, std::move(seen.response)});
    return true;
}

void PageTape::take_media(const std::vector<net::Network>& allowed, Deadline deadline, const std::stop_token& stop) {
    const net::Fetcher fetcher({.allow_nets = allowed, .user_agent = {}});
    for (const auto& seen : std::exchange(media_, {})) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) return;
        net::FetchRequest request{.url = seen.url, .headers = {}, .timeout = std::min(media_time, left)};
        for (const auto& [name, value] : seen.asked)
            if (name == "referer" || name == "user-agent" || name == "cookie")
                request.headers.emplace_back(name, value);
        request.headers.emplace_back("range", "bytes=0-" + std::to_string(media_head - 1));
        net::Response got;
        const net::StreamSink sink{.on_head =
                                       [&](const net::Response& head) {
                                           got = head;
                                           return std::optional<Error>();
                                       },
                                   .on_body = [&](std::string_view bytes) -> std::optional<Error> {
                                       got.body.append(bytes.substr(0, media_head - got.body.size()));
                                       return got.body.size() < media_head
                                                  ? std::nullopt
                                                  : std::optional(Error{Errc::canceled, "enough"});
                                   }};
        (void)fetcher.stream(request, sink, stop);
        if (got.status != 200 && got.status != 206) continue;
        got.final_url = seen.url;
        recording_.add({"browser", "GET", seen.url, std::nullopt, std::move(got)});
    }
}

void PageTape::note_cookies(const json::object& answer) {
    if (const auto* cookies = array_at(answer, "cookies"))
        for (const auto& cookie : *cookies)
            if (const auto* object = cookie.if_object()) recording_.note_secret(text_at(*object, "value"));
}

void PageTape::tell(const cdp::Message& paused) {
    const auto id = text_at(paused.params, "requestId");
    const auto* request = object_at(paused.params, "request");
    if (request == nullptr) return;
    const auto url = text_at(*request, "url");
    const auto fail = [&] {
        send_(paused.session, "Fetch.failRequest",
              {{"requestId", id}, {"errorReason", "InternetDisconnected"}});
    };
    if (!is_http_url(url)) {
        send_(paused.session, "Fetch.continueRequest",
              {{"requestId", id}});  // data: and blob: need no network.
        return;
    }
    const auto* known = recording_.find("browser", text_at(*request, "method"), url);
    if (known == nullptr || known->error) {
        if (known == nullptr && missing_.empty() && text_at(paused.params, "resourceType") == "Document")
            missing_ = url;
        return fail();
    }
    auto status = known->response.status;
    std::string_view body = known->response.body;
    json::array headers;
    const auto whole = known->response.header("content-range").value_or("");
    for (const auto& [name, value] : known->response.headers)
        if (name != "content-range") headers.push_back(json::object{{"name", name}, {"value", value}});
    // The beginning of a file is all there is of it; what asks for more hears that the network is gone.
    if (const auto from = range_start(headers_of(object_at(*request, "headers")));
        status == 206 || (from && is_media("", known->response))) {
        const auto begin = from.value_or(0);
        const auto slash = whole.rfind('/');
        const auto size = (slash == std::string_view::npos ? std::nullopt : number(whole.substr(slash + 1)))
                              .value_or(body.size());
        if (begin >= body.size()) return fail();
        body.remove_prefix(begin);
        status = 206;
        headers.push_back(json::object{
            {"name", "content-range"},
            {"value", "bytes " + std::to_string(begin) + "-" + std::to_string(begin + body.size() - 1) + "/" +
                          std::to_string(std::max(size, begin + body.size()))}});
        headers.push_back(json::object{{"name", "accept-ranges"}, {"value", "bytes"}});
    }
    send_(paused.session, "Fetch.fulfillRequest",
          {{"requestId", id},
           {"responseCode", status},
           {"responseHeaders", std::move(headers)},
           {"body", to_base64(body)}});
}

}  // namespace jobruntime::extract
