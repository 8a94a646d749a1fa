// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/extractor.hpp>

#include <algorithm>
#include <cmath>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

namespace jobruntime {
namespace {

namespace json = boost::json;

std::string_view protocol_name(MediaProtocol protocol) {
    switch (protocol) {
        case MediaProtocol::https: return "https";
        case MediaProtocol::hls: return "m3u8_native";
        case MediaProtocol::dash: return "http_dash_segments";
        case MediaProtocol::file: return "file";
    }
    return "https";
}

/// yt-dlp has several words for each.
std::optional<MediaProtocol> protocol_from(std::string_view name) {
    if (name.empty() || name == "https" || name == "http") return MediaProtocol::https;
    if (name.starts_with("m3u8") || name == "hls") return MediaProtocol::hls;
    if (name.starts_with("http_dash") || name == "dash") return MediaProtocol::dash;
    if (name == "file") return MediaProtocol::file;
    return std::nullopt;
}

void put(json::object& out, std::string_view name, const std::string& value) {
    if (!value.empty()) out[name] = value;
}

/// Reads members leniently about absence and strictly about type; keeps the first complaint.
struct Reader {
    const json::object& in;
    std::string where;
    std::optional<Error>& error;

    const json::value* find(std::string_view name) const {
        const auto* value = in.if_contains(name);
        return value && !value->is_null() ? value : nullptr;
    }
    void refuse(std::string_view name, std::string_view expected) const {
        if (!error)
            error = Error{Errc::invalid_argument, "INVALID_MEDIA_INFO",
                          where + std::string(name) + ": expected " + std::string(expected)};
    }
    std::string text(std::string_view name) const {
        const auto* value = find(name);
        if (!value) return {};
        if (value->is_string()) return std::string(value->get_string());
        refuse(name, "a string");
        return {};
    }
    std::optional<double> number(std::string_view name) const {
        const auto* value = find(name);
        if (!value) return std::nullopt;
        if (!value->is_number()) refuse(name, "a number");
        // "1e999" is written as a number and is none that could be kept.
        else if (const auto known = value->to_number<double>(); std::isfinite(known)) return known;
        return std::nullopt;
    }
    bool flag(std::string_view name) const {
        const auto* value = find(name);
        if (value && !value->is_bool()) refuse(name, "true or false");
        return value && value->is_bool() && value->get_bool();
    }
    int pixels(std::string_view name) const {
        const double value = number(name).value_or(0);
        return value > 0 && value < 100'000 ? static_cast<int>(value) : 0;
    }
    std::map<std::string, std::string> headers() const {
        std::map<std::string, std::string> found;
        const auto* value = find("http_headers");
        if (value != nullptr && !value->is_object()) refuse("http_headers", "an object");
        if (value == nullptr || !value->is_object()) return found;
        for (const auto& header : value->get_object())
            if (header.value().is_string())
                found[std::string(header.key())] = std::string(header.value().get_string());
        return found;
    }
};

void put_headers(json::object& out, const std::map<std::string, std::string>& headers) {
    if (headers.empty()) return;
    json::object object;
    for (const auto& [name, value] : headers) object[name] = value;
    out["http_headers"] = std::move(object);
}

json::object source_to_json(const MediaSource& source) {
    json::object out{{"url", source.url}, {"protocol", protocol_name(source.protocol)}};
    put(out, "ext", source.ext);
    if (source.width > 0) out["width"] = source.width;
    if (source.height > 0) out["height"] = source.height;
    if (source.tbr > 0) out["tbr"] = source.tbr;
    if (source.filesize) out["filesize"] = *source.filesize;
    put_headers(out, source.http_headers);
    if (source.sound) {
        json::object sound{{"url", source.sound->url}, {"protocol", protocol_name(source.sound->protocol)}};
        put_headers(sound, source.sound->http_headers);
        out["sound"] = std::move(sound);
    }
    put(out, "format_note", source.origin);
    return out;
}

std::optional<MediaSource> source_from(const json::object& in, const std::string& where, std::optional<Error>& error) {
    Reader reader{in, where, error};
    MediaSource source;
    source.url = reader.text("url");
    if (source.url.empty()) {
        reader.refuse("url", "an address");
        return std::nullopt;
    }
    auto protocol = protocol_from(reader.text("protocol"));
    if (!protocol) return std::nullopt;  // Something newer than this program: another format may do.
    source.protocol = *protocol;
    source.ext = reader.text("ext");
    source.width = reader.pixels("width");
    source.height = reader.pixels("height");
    source.tbr = std::max(reader.number("tbr").value_or(0), 0.0);
    if (auto size = reader.number("filesize"); size && *size > 0 && *size < 9e15)
        source.filesize = static_cast<std::int64_t>(*size);
    source.http_headers = reader.headers();
    if (const auto* value = reader.find("sound")) {
        if (!value->is_object()) {
            reader.refuse("sound", "an object");
            return std::nullopt;
        }
        const Reader inner{value->get_object(), where + "sound.", error};
        const auto how = protocol_from(inner.text("protocol"));
        if (!how || *how == MediaProtocol::file) return std::nullopt;
        source.sound = MediaSound{inner.text("url"), *how, inner.headers()};
        if (source.sound->url.empty()) inner.refuse("url", "an address");
    }
    source.origin = reader.text("format_note");
    return source;
}

}  // namespace

json::object to_json(const MediaInfo& info) {
    json::object out;
    put(out, "id", info.id);
    put(out, "title", info.title);
    put(out, "uploader", info.author);
    put(out, "webpage_url", info.webpage_url);
    put(out, "thumbnail", info.thumbnail);
    if (info.duration) out["duration"] = *info.duration;
    if (info.duration && info.duration_stated) out["duration_stated"] = true;
    put(out, "timestamp_iso", info.published);
    put(out, "extractor", info.extractor);
    json::array formats;
    for (const auto& source : info.sources) formats.push_back(source_to_json(source));
    out["formats"] = std::move(formats);
    return out;
}

Result<MediaInfo> media_info_from(const json::object& in) {
    std::optional<Error> error;
    Reader reader{in, "", error};
    MediaInfo info;
    info.id = reader.text("id");
    info.title = reader.text("title");
    info.author = reader.text("uploader");
    info.webpage_url = reader.text("webpage_url");
    info.thumbnail = reader.text("thumbnail");
    info.duration = reader.number("duration");
    info.duration_stated = info.duration && reader.flag("duration_stated");
    info.published = reader.text("timestamp_iso");
    info.extractor = reader.text("extractor");
    if (const auto* formats = reader.find("formats")) {
        if (!formats->is_array()) {
            reader.refuse("formats", "an array");
        } else {
            std::size_t index = 0;
            for (const auto& format : formats->get_array()) {
                const std::string where = "formats[" + std::to_string(index++) + "].";
                if (!format.is_object()) {
                    reader.refuse(where, "an object");
                } else if (auto source = source_from(format.get_object(), where, error)) {
                    info.sources.push_back(*std::move(source));
                }
            }
        }
    } else if (reader.find("url")) {
        if (auto source = source_from(in, "", error)) info.sources.push_back(*std::move(source));
    }
    if (error) return *std::move(error);
    return info;
}

}  // namespace jobruntime
