// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/page_scripts.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <boost/json.hpp>

#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

std::optional<json::value> parsed(const std::string& text) {
    json::parse_options limits;
    limits.max_depth = 64;
    json::error_code failed;
    auto value = json::parse(text, failed, {}, limits);
    return failed ? std::nullopt : std::optional(std::move(value));
}

/// Goes through a document and keeps the addresses of media, and whose they are.
class MediaWalk {
public:
    void walk(const json::value& value, const json::object* owner, int depth) {
        if (depth > 48 || ++visited_ > 200'000 || urls_.size() >= 64) return;
        if (const auto* array = value.if_array()) {
            for (const auto& element : *array) walk(element, owner, depth + 1);
        } else if (const auto* object = value.if_object()) {
            const auto* whose = describes_a_video(*object) ? object : owner;
            for (const auto& [key, member] : *object)
                if (!is_of_a_sample({key.data(), key.size()})) walk(member, whose, depth + 1);
        } else if (const auto* text = value.if_string()) {
            take(std::string(text->data(), text->size()), owner);
        }
    }

    bool one_video() const {
        return std::all_of(owners_.begin(), owners_.end(), [&](const auto* owner) { return owner == owners_.front(); });
    }
    /// Without the pieces of a stream: files whose names say so, of which there are several.
    std::vector<std::string> take_urls() {
        std::set<std::string> pieces;
        for (const auto& url : urls_)
            if (looks_like_segment(url)) pieces.insert(file_name(url));
        if (pieces.size() > 1) std::erase_if(urls_, [](const auto& url) { return looks_like_segment(url); });
        return std::move(urls_);
    }

private:
    static bool describes_a_video(const json::object& object) {
        constexpr std::array<std::string_view, 12> words{"title", "name",     "headline", "caption",   "desc",         "description",
                                                         "duration", "poster", "cover",   "thumbnail", "thumbnailUrl", "uploadDate"};
        return std::any_of(words.begin(), words.end(), [&](const auto word) { return object.contains(word); });
    }
    static bool is_of_a_sample(std::string_view key) {
        const auto word = lower(key);
        for (const std::string_view sample : {"preview", "teaser", "trailer", "related", "recommend"})
            if (word.find(sample) != std::string::npos) return true;
        return false;
    }
    static std::string file_name(std::string_view url) {
        url = url.substr(0, url.find_first_of("?#"));
        return std::string(url.substr(url.rfind('/') + 1));
    }
    void take(std::string url, const json::object* owner) {
        if (!is_http_url(url) || url.size() > max_url) return;
        const auto kind = classify_media(url, "");
        if (kind == MediaKind::none || kind == MediaKind::segment) return;
        if (std::find(urls_.begin(), urls_.end(), url) != urls_.end()) return;
        urls_.push_back(std::move(url));
        owners_.push_back(owner);
    }

    std::vector<std::string> urls_;
    std::vector<const json::object*> owners_;
    int visited_ = 0;
};

}  // namespace

std::vector<std::string> scripts_of(const PageRule& rule) {
    std::vector<std::string> ids;
    for (const auto& way : rule.ways)
        if (way.reader) ids.insert(ids.end(), way.scripts.begin(), way.scripts.end());
    return ids;
}

ScriptAnswer read_scripts(const PageRule& rule, const Probe& page, int nth,
                          const std::map<std::string, std::string>& values) {
    ScriptAnswer answer;
    for (const auto& way : rule.ways) {
        const auto found = std::find_if(page.scripts.begin(), page.scripts.end(), [&](const auto& script) {
            return std::find(way.scripts.begin(), way.scripts.end(), script.first) != way.scripts.end();
        });
        if (!way.reader || found == page.scripts.end()) continue;
        const auto document = parsed(found->second);
        if (!document) continue;
        auto info = read_document(*document, *way.reader, nth);
        if (info) {
            for (auto& source : info->sources)
                for (const auto& [name, value] : way.reader->headers)
                    source.http_headers[name] = fill_in(value, values, false);
            answer.info = *std::move(info);
            answer.told.reset();
            return answer;
        }
        if (!answer.told && info.error().name != "UNSUPPORTED_SOURCE") answer.told = std::move(info).error();
    }
    return answer;
}

std::vector<std::string> media_in_scripts(const Probe& page) {
    MediaWalk walk;
    // They are kept until the end: whose an address is, is told by the place of its object.
    std::vector<json::value> documents;
    for (const auto& [id, text] : page.scripts)
        if (auto document = parsed(text)) documents.push_back(*std::move(document));
    for (const auto& document : documents) walk.walk(document, nullptr, 0);
    return walk.one_video() ? walk.take_urls() : std::vector<std::string>();
}

}  // namespace jobruntime::extract
