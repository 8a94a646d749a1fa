// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/value.hpp>
#include <jobruntime/extract.hpp>

#include "extract/json_path.hpp"

// The page extractor's rules, read and checked. docs/extractors.md describes them for operators.
namespace jobruntime::extract {

/// One request. Texts are templates: {url}, {id}, {syndication}, and what earlier steps kept.
struct PageStep {
    std::string url;
    bool post = false;
    std::string body;
    std::vector<std::pair<std::string, boost::json::value>> query;  ///< Appended to the URL, percent-encoded.
    std::vector<std::pair<std::string, std::string>> headers;
    std::vector<std::pair<std::string, JsonPaths>> keep;  ///< Names for later steps, from this step's JSON.
    std::map<int, std::string> statuses;                  ///< HTTP status → code, before the usual meaning.
    bool is_page() const { return url == "{url}"; }
};

/// When the value at `at` is there, and is or has that text, the code is the answer.
struct PageError {
    JsonPaths at;
    std::optional<std::string> is;
    std::vector<std::string> has;  ///< In lower case; any of them.
    std::string code;
    std::string message;
};

/// Where the addresses of one video are.
struct PageSources {
    std::string each;  ///< Path of the objects, from the item on.
    std::string url;   ///< From the object on; may lead to several.
    JsonPaths type, bitrate, width, height, size;
};

/// How a JSON document becomes a MediaInfo.
struct PageReader {
    JsonPaths root{""};
    std::string missing = "UNSUPPORTED_SOURCE";  ///< The code when no root is there.
    std::vector<PageError> errors;               ///< Asked of the whole document, before anything else.
    JsonPaths id, title, author, published, thumbnail, duration;
    std::string items;           ///< Path of the post's media, from the root on; "" = the root is the one.
    std::string video;           ///< What an item must have to be a video.
    JsonPaths item_thumbnail, item_duration_ms;
    std::vector<PageSources> sources;
    std::vector<std::pair<std::string, std::string>> headers;  ///< For the download; templates.
};

/// One way to an answer: requests one after another, the last one's document is read.
struct PageWay {
    std::string name;
    std::vector<PageStep> steps;
    std::vector<std::string> scripts;  ///< The JSON is in the first <script> of these ids; none = it is the body.
    bool cookies = false;              ///< What steps set goes along to interfaces asked after them, and to the download.
    std::optional<PageReader> reader;  ///< None = the document is HTML and is read by what pages have in common.
};

struct PageRule {
    std::string name;
    std::vector<std::string> platforms, hosts;  ///< Both empty = every page.
    std::vector<PageWay> ways;
    bool matches(std::string_view platform, std::string_view host) const;
};

class PageRules::Impl {
public:
    std::vector<PageRule> rules;
};

/// `text` with its {names} replaced; unknown ones stay. `encode`: percent-encoded for a URL.
std::string fill_in(std::string_view text, const std::map<std::string, std::string>& values, bool encode);
/// The same inside every string of a value.
boost::json::value fill_in(const boost::json::value& value, const std::map<std::string, std::string>& values);
std::string percent_encode(std::string_view text);
/// The token of X's syndication for a post's id, as its own script computes it: (id / 10^15 * π) in base 36
/// without zeros and the point.
std::string syndication_token(std::string_view id);

/// Reads a document by a rule. NO_MEDIA for posts without a video and for too great an nth.
Result<MediaInfo> read_document(const boost::json::value& document, const PageReader& reader, int nth);

}  // namespace jobruntime::extract
